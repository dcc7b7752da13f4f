//! A planted fault: in production code, in a script, or in the in-memory store.

use std::cell::Cell;

use ::cells::script::Script;
use mutants::Mutant;
use testkit::memory::{MemoryStore, StoreMutant};

/// An edit of a script: this text, which must be there, becomes that one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Edit {
    /// The script's name.
    pub script: &'static str,
    /// What stands there.
    pub from: &'static str,
    /// What the mutant has.
    pub to: &'static str,
}

/// Where the fault is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spot {
    /// Nowhere.
    None,
    /// Behind a switch in production code.
    Code(Mutant),
    /// In a script.
    Lua(Edit),
    /// In the store.
    Store(StoreMutant),
}

/// A fault, and whether its text was found.
pub struct Plant {
    spot: Spot,
    found: Cell<bool>,
}

impl Plant {
    /// Nothing is planted.
    pub fn none() -> Self {
        Self::at(Spot::None)
    }

    /// This one.
    pub fn at(spot: Spot) -> Self {
        Self { spot, found: Cell::new(false) }
    }

    /// A script's source with the fault, if it is in this one.
    pub fn edit(&self, script: &Script) -> String {
        let Spot::Lua(edit) = self.spot else { return script.source.to_owned() };
        if script.name != edit.script || script.source.matches(edit.from).count() != 1 {
            return script.source.to_owned();
        }
        self.found.set(true);
        script.source.replace(edit.from, edit.to)
    }

    /// Fails when the text of a script's mutant is not there: it would test nothing.
    pub fn check(&self) -> Result<(), String> {
        match self.spot {
            Spot::Lua(edit) if !self.found.get() => {
                Err(format!("{}.lua has not exactly one {:?}", edit.script, edit.from))
            }
            Spot::Lua(_) | Spot::None | Spot::Code(_) | Spot::Store(_) => Ok(()),
        }
    }

    /// For this thread, until [`Plant::switch_off`].
    pub fn switch_on(&self) {
        #[cfg(feature = "mutants")]
        mutants::plant(match self.spot {
            Spot::Code(mutant) => Some(mutant),
            Spot::None | Spot::Lua(_) | Spot::Store(_) => None,
        });
    }

    /// Nothing is planted in this thread any more.
    pub fn switch_off() {
        #[cfg(feature = "mutants")]
        mutants::plant(None);
    }

    /// Tells a fresh store which rule to break.
    pub fn break_store(&self, store: &MemoryStore) {
        if let Spot::Store(mutant) = self.spot {
            store.set_mutant(mutant, true);
        }
    }
}
