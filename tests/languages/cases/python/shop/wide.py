from shop import rendered

mixed = "".join(["👋🏽", "漢字", "é", rendered(1)]) + rendered("漢", 2)
if mixed:
	tabbed = 1; after = "👋" + rendered(tabbed)
