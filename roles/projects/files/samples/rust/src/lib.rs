//! Sums up measurements.

pub mod parse;

/// One number that was measured, and what it was measured of.
#[derive(Clone, Debug, PartialEq)]
pub struct Measurement {
    pub name: String,
    pub value: f64,
}

/// What a list of measurements comes to.
#[derive(Debug, PartialEq)]
pub struct Summary {
    pub count: usize,
    pub mean: f64,
    pub largest: String,
}

/// Sums up measurements; `None` when there are none.
pub fn process_data(measurements: &[Measurement]) -> Option<Summary> {
    let largest = measurements
        .iter()
        .max_by(|a, b| a.value.total_cmp(&b.value))?;
    let total: f64 = measurements.iter().map(|one| one.value).sum();
    Some(Summary {
        count: measurements.len(),
        mean: total / measurements.len() as f64,
        largest: largest.name.clone(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_comes_to_nothing() {
        assert_eq!(process_data(&[]), None);
    }
}
