//! A mutant, and what is known of it.

use crate::plant::Spot;

/// What is known of a mutant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Known {
    /// This check finds it at this seed, counted from 0.
    Found(&'static str, u64),
    /// Nothing finds it; [`Case::why`] says why that is no hole.
    Survives,
}

/// One mutant.
#[derive(Debug, Clone, Copy)]
pub struct Case {
    /// Its name.
    pub name: &'static str,
    /// What it does.
    pub meaning: &'static str,
    /// Where it is.
    pub spot: Spot,
}
