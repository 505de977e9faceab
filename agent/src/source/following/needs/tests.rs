use super::*;

mod naive;
mod table;
