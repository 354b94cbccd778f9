"""The lesson: eight steps from pixels to positions, in place of the chat and the panel. The browser draws it
(ui/static/lesson); here are its prepared pictures and the questions that it has answered live."""
