"""Plug-ins for assistants: ``pyproject.toml`` says what each is called."""
