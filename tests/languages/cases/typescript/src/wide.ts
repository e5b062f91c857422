import { formatted } from "./index";

export const mixed = ["👋🏽", "漢字", "é", formatted(1)].join("") + formatted("漢", 2);
	const tabbed = 1; export const after = "👋" + formatted(tabbed);
