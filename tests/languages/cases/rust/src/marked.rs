use crate::rendered; pub fn marked() -> String { rendered(3, 0) }
pub fn last() -> String { marked() + &rendered(4, 0) }