//! Reads measurements as a user writes them.

use crate::Measurement;

/// Reads a measurement written as `name=value`.
///
/// # Errors
///
/// A sentence that says what is wrong with the text.
pub fn parse_measurement(text: &str) -> Result<Measurement, String> {
    let (name, value) = text
        .split_once('=')
        .ok_or_else(|| format!("{text:?} is not of the form name=value."))?;
    let value = value
        .parse()
        .map_err(|_| format!("{value:?} in {text:?} is not a number."))?;
    Ok(Measurement {
        name: name.to_owned(),
        value,
    })
}
