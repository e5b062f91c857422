from words.loud import shout

__all__ = ["shout"]
