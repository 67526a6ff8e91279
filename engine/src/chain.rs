//! What an error says, with what its causes say.

use std::error::Error;

use tables::causes;

/// An error and its causes in one text, each said once.
pub fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    for cause in causes(error).skip(1) {
        let said = cause.to_string();
        // Some foreign errors repeat their source.
        if !text.contains(&said) {
            text.push_str(": ");
            text.push_str(&said);
        }
    }
    text
}
