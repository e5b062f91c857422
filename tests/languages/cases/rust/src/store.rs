use crate::limits::MAX_SHAPES;
use crate::shapes::Shape;

pub struct Store<Item> {
    items: Vec<Item>,
}

impl<Item> Default for Store<Item> {
    fn default() -> Self {
        Self { items: vec![] }
    }
}

impl<Item: Shape> Store<Item> {
    pub fn add(&mut self, item: Item) {
        if self.items.len() < MAX_SHAPES {
            self.items.push(item);
        }
    }

    pub fn largest(&self) -> Option<&Item> {
        self.items.iter().max_by(|one, other| one.area().total_cmp(&other.area()))
    }
}
