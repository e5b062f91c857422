mod loud;

pub use loud::shout;
