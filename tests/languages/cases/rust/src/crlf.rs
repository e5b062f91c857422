use crate::rendered;

/* 👋 */ pub fn first() -> String { rendered(1, 0) }
