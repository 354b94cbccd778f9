"""What differs between devices beside tensors: waiting for one, its free memory, and giving memory back to it."""

from __future__ import annotations

import torch


def synchronize(device: torch.device) -> None:
    """Waits until a device has computed what was asked of it. A CPU always has."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


def release_unused(device: torch.device) -> None:
    """Gives memory that tensors no longer use, and PyTorch keeps for later ones, back to the device."""
    if device.type == "cuda":
        torch.cuda.empty_cache()  # of all cards
    elif device.type == "mps":
        torch.mps.empty_cache()


def free_bytes(device: torch.device) -> int | None:
    """Bytes that tensors could still take on a GPU, what PyTorch keeps unused included; None where it does not tell."""
    if device.type == "cuda":
        unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return torch.cuda.mem_get_info(device)[0] + unused
    if device.type == "mps":
        return max(0, torch.mps.recommended_max_memory() - torch.mps.current_allocated_memory())
    return None


def prefer_reliable_attention() -> None:
    """Turns cuDNN's attention off for this process, which torch prefers on Hopper and newer cards.

    It builds a plan for each shape in each thread: every prompt has another length and every answer a new thread, so
    that each would wait for it. Flash and memory-efficient attention build nothing.
    """
    torch.backends.cuda.enable_cudnn_sdp(False)
