from shop import rendered

first = ("👋", rendered(1))
second = rendered("two", 4)
