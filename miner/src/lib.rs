//! Muster's miner: trains on its own data in each window, uploads and claims what it found, and applies what all accept.
mod feedback;
mod files;
pub mod round;
mod submissions;
pub use feedback::Feedback;
pub use files::FileError;
pub use submissions::Submissions;
