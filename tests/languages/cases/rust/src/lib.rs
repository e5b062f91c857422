pub mod app;
mod crlf;
mod format;
#[path = "../generated/limits.rs"]
mod limits;
mod marked;
pub mod shapes;
pub mod store;
mod wide;

pub use crlf::first;
pub use format::render as rendered;
pub use marked::last;
pub use shapes::{Circle, Shape, Square};
pub use wide::mixed;

pub mod built {
    include!(concat!(env!("OUT_DIR"), "/limits.rs"));
}
