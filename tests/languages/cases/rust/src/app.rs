use crate::rendered;
use crate::{shapes::Square, store::Store, Shape};
use words::shout;

pub fn build(sides: &[f64]) -> Store<Square> {
    let mut store = Store::default();
    for side in sides {
        store.add(Square { side: *side });
    }
    store
}

pub fn report(store: &Store<Square>) -> String {
    let parts = vec![store.largest().map_or(rendered("none", 6), |largest| rendered(largest.area(), 0))];
    println!("{}", shout(&parts[0]));
    shout(&parts.concat())
}
