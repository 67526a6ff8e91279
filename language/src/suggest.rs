//! "Did you mean": how far apart two words are, and one rule for every name that the language knows.
//!
//! Owns only the choice of the nearest name; who asks decides what the candidates are.

/// Edits between two words: insertions, deletions, substitutions, swapped neighbours.
pub fn edits(word: &str, other: &str) -> usize {
    strsim::damerau_levenshtein(word, other)
}

/// The candidate that `word` was most likely meant to be, if one is near.
///
/// Case is ignored. Near means at most two edits that leave more than half of the longer word alone, or a Jaro-Winkler similarity of
/// at least 0.9.
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let word = word.to_lowercase();
    let mut best: Option<(usize, f64, &'a str)> = None;
    for candidate in candidates {
        let lower = candidate.to_lowercase();
        if lower == word {
            return Some(candidate);
        }
        let distance = edits(&word, &lower);
        let similarity = strsim::jaro_winkler(&word, &lower);
        let longer = word.chars().count().max(lower.chars().count());
        if !(distance <= 2 && distance * 2 < longer || similarity >= 0.9) {
            continue;
        }
        let nearer = best.is_none_or(|(known_distance, known_similarity, _)| {
            distance < known_distance || distance == known_distance && similarity > known_similarity
        });
        if nearer {
            best = Some((distance, similarity, candidate));
        }
    }
    best.map(|(_, _, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn a_typing_slip_finds_its_word() {
        let words = ["member", "mode", "memory", "memory_threshold"];
        assert_eq!(nearest("membr", words), Some("member"));
        assert_eq!(nearest("meomry", words), Some("memory"));
        assert_eq!(nearest("Memory", words), Some("memory"));
        assert_eq!(nearest("memory_treshhold", words), Some("memory_threshold"));
    }

    #[test]
    fn a_different_word_finds_nothing() {
        assert_eq!(nearest("colour", ["member", "mode"]), None);
        assert_eq!(nearest("a", ["b", "c"]), None);
        assert_eq!(nearest("xy", ["ab"]), None);
        assert_eq!(nearest("anything", []), None);
    }
}
