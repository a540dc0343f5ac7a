//! What a person sees while a network runs: a table with bars, redrawn in place on a terminal, plain lines elsewhere.

mod screen;
mod table;

pub use screen::Screen;
pub use table::{Now, table};
