//! Random numbers that depend on the seed and the entity alone, never on what was generated before.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};

/// What a stream of random numbers is for. Streams of one entity do not influence each other: more
/// words in a text leave its times as they are.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Purpose {
    /// What happens to a bug.
    Story = 1,
    /// The title of a bug; the second index is its revision.
    Title = 2,
    /// The description of a bug; the second index is its revision.
    Description = 3,
    /// The content of a message; the second index is its number.
    Message = 4,
    /// Counts of a bug that nothing else depends on.
    Figures = 5,
}

/// A stream of random numbers.
#[derive(Debug)]
pub(crate) struct Random(ChaCha8Rng);

impl Random {
    /// The stream of one purpose of one entity.
    pub(crate) fn new(seed: u64, purpose: Purpose, index: u32, second: u32) -> Self {
        let mut key = [0_u8; 32];
        key[..8].copy_from_slice(&seed.to_le_bytes());
        key[8] = purpose as u8;
        key[12..16].copy_from_slice(&index.to_le_bytes());
        key[16..20].copy_from_slice(&second.to_le_bytes());
        Self(ChaCha8Rng::from_seed(key))
    }

    /// A whole number below `bound`, which is at least 1. The bias is below 2⁻³² for the bounds used.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.0.next_u64()) * u128::from(bound)) >> 64) as u64
    }

    /// A position in a list of `length` items, which is at least 1.
    pub(crate) fn position(&mut self, length: usize) -> usize {
        // Lists are short: both conversions keep the value.
        self.below(length as u64) as usize
    }

    /// A number from 0 up to, not including, 1.
    pub(crate) fn unit(&mut self) -> f64 {
        // 53 bits, as many as a double keeps.
        (self.0.next_u64() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// True with this probability.
    pub(crate) fn chance(&mut self, probability: f64) -> bool {
        self.unit() < probability
    }

    /// A number of the distribution with these quantiles: pairs of (share, value), from share 0 to
    /// share 1, values above 0. Between them values grow geometrically.
    pub(crate) fn quantile(&mut self, quantiles: &[(f64, f64)]) -> f64 {
        let share = self.unit();
        for pair in quantiles.windows(2) {
            let [(from, low), (to, high)] = pair else {
                continue;
            };
            if share < *to {
                let part = (share - from) / (to - from);
                return low * (high / low).powf(part);
            }
        }
        quantiles.last().map_or(0.0, |(_, value)| *value)
    }

    /// The position of a weight, with a probability in proportion to it.
    pub(crate) fn weighted(&mut self, weights: &[u64]) -> usize {
        let total: u64 = weights.iter().sum();
        let mut rest = self.below(total.max(1));
        for (position, weight) in weights.iter().enumerate() {
            if rest < *weight {
                return position;
            }
            rest -= weight;
        }
        0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_come_out_as_given() {
        let quantiles = [(0.0, 1.0), (0.5, 8.0), (0.9, 17.0), (1.0, 247.0)];
        let mut random = Random::new(7, Purpose::Story, 1, 0);
        let mut values: Vec<f64> = (0..20_000).map(|_| random.quantile(&quantiles)).collect();
        values.sort_by(f64::total_cmp);
        assert!((values[10_000] - 8.0).abs() < 0.4, "{}", values[10_000]);
        assert!((values[18_000] - 17.0).abs() < 0.8, "{}", values[18_000]);
    }

    #[test]
    fn streams_of_different_entities_differ() {
        let first = Random::new(7, Purpose::Story, 1, 0).below(u64::MAX);
        assert_ne!(first, Random::new(7, Purpose::Story, 2, 0).below(u64::MAX));
        assert_ne!(first, Random::new(7, Purpose::Title, 1, 0).below(u64::MAX));
        assert_ne!(first, Random::new(8, Purpose::Story, 1, 0).below(u64::MAX));
        assert_eq!(first, Random::new(7, Purpose::Story, 1, 0).below(u64::MAX));
    }
}
