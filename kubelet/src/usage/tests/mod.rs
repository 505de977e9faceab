//! How metrics of delegates are told.

mod hostile;
mod properties;
mod table;
mod world;
