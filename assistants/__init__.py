"""How does a system prompt change what a language model says, and is the change real?"""
