"""Answers: the engine protocol and the engines that exist."""
