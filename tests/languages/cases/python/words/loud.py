def shout(text: str) -> str:
    """Say it loudly."""
    return f"{text.upper()}!"
