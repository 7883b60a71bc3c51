"""Words in, text out, an exit code: the `cape` command.

Owns the declaration of commands, parsing, prompts, colours, progress bars and rendering. No decision
about manifests, locks or environments belongs here: a command parses into arguments, calls one
operation, and renders its result. stdout is data, stderr is conversation.
"""
