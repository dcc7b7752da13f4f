//! What a step answers when something that it needs gives no answer.

use view::OperateError;

/// Its words are for people: the pass is repeated, whatever they say.
pub(crate) fn down(e: impl std::fmt::Display) -> OperateError {
    OperateError::Down(e.to_string())
}
