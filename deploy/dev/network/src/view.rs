//! The live view of a running network. On a terminal it is a table with bars, redrawn in place.
//! Elsewhere it is plain lines.

mod screen;
mod table;

pub use screen::Screen;
pub use table::{LiveStatus, table};
