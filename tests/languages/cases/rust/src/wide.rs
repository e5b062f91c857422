use crate::rendered;

pub fn mixed() -> String {
    let mixed = ["👋🏽".to_string(), "漢字".into(), "é".into(), rendered(1, 0)].concat() + &rendered("漢", 2);
	let tabbed = 1; let after = format!("👋{}", rendered(tabbed, 0));
    assert_eq!(/* 漢 */ rendered(1, 0), "1");
    mixed + &after
}
