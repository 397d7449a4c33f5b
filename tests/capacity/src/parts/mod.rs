//! What is looked at, and becomes tables and pictures.

mod echo;
mod lost;
mod moment;
mod restart;
mod start;
mod steady;

use std::error::Error;

use crate::Run;

type Part = fn(&mut Run) -> Result<(), Box<dyn Error>>;

pub(crate) const PARTS: &[(&str, Part)] = &[
    ("steady", steady::run),
    ("moment", moment::run),
    ("restart", restart::run),
    ("lost", lost::run),
    ("start", start::run),
    ("echo", echo::run),
];

fn yes(is_so: bool) -> String {
    if is_so { "yes" } else { "no" }.to_owned()
}
