from shop import rendered

marked = rendered(3)
last = rendered(4)