//! One figure over the rounds: median and range.

use std::fmt;

/// The values of one figure, a value a round.
#[derive(Clone, Debug, Default)]
pub struct Series(Vec<f64>);

impl Series {
    /// Adds a round's value.
    pub fn push(&mut self, value: f64) {
        self.0.push(value);
    }

    /// The middle one, or the mean of the two middle ones; NaN without any round.
    pub fn median(&self) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        let half = sorted.len() / 2;
        match (sorted.get(half), sorted.len() % 2) {
            (None, _) => f64::NAN,
            (Some(middle), 1) => *middle,
            (Some(upper), _) => f64::midpoint(sorted[half - 1], *upper),
        }
    }

    /// The smallest.
    pub fn min(&self) -> f64 {
        self.0.iter().copied().fold(f64::NAN, f64::min)
    }

    /// The largest.
    pub fn max(&self) -> f64 {
        self.0.iter().copied().fold(f64::NAN, f64::max)
    }

    /// This divided by `other`, round by round, which removes effects that both met in a round.
    pub fn over(&self, other: &Series) -> Series {
        self.paired(other, |own, other| own / other)
    }

    /// This less `other`, round by round.
    pub fn less(&self, other: &Series) -> Series {
        self.paired(other, |own, other| own - other)
    }

    /// This and `other` together, round by round.
    pub fn plus(&self, other: &Series) -> Series {
        self.paired(other, |own, other| own + other)
    }

    fn paired(&self, other: &Series, with: impl Fn(f64, f64) -> f64) -> Series {
        let pairs = self.0.iter().zip(&other.0);
        Series(pairs.map(|(own, other)| with(*own, *other)).collect())
    }
}

impl fmt::Display for Series {
    /// Median and range, `21.4 (20.9–22.0)`; the range is left out where there was one round.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&number(self.median()))?;
        if self.0.len() > 1 {
            write!(f, " ({}–{})", number(self.min()), number(self.max()))?;
        }
        Ok(())
    }
}

/// A number with three or more digits that count.
fn number(value: f64) -> String {
    match value.abs() {
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn series(values: &[f64]) -> Series {
        Series(values.to_vec())
    }

    #[test]
    fn the_median_of_an_even_number_of_rounds_lies_between() {
        assert!((series(&[4.0, 1.0, 2.0, 3.0]).median() - 2.5).abs() < 1e-9);
        assert!((series(&[9.0, 1.0, 2.0]).median() - 2.0).abs() < 1e-9);
        assert!(series(&[]).median().is_nan());
    }

    #[test]
    fn ratios_are_taken_round_by_round() {
        let ratio = series(&[10.0, 30.0]).over(&series(&[5.0, 10.0]));
        assert_eq!(ratio.0, [2.0, 3.0]);
    }

    #[test]
    fn one_round_shows_no_range() {
        assert_eq!(series(&[123.4]).to_string(), "123");
        assert_eq!(series(&[1.0, 2.0]).to_string(), "1.50 (1.00–2.00)");
    }
}
