//! The cheapest path through all words a text could consist of (Viterbi), with
//! MeCab's own order where several cost the same.

use super::Dictionary;
use super::characters::Class;
use super::lexicon::{Lexicon, Token};

/// One word of a divided text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Word<'a> {
    /// The stretch of the text that it covers.
    pub surface: &'a str,
    /// Fields separated by commas; fewer for a word the dictionary lacks.
    pub feature: &'a str,
    /// False for a run of characters that no dictionary has.
    pub known: bool,
}

/// Longer runs of one class are not one unknown word.
const GROUP_MAX: usize = 24;

struct Node<'a> {
    token: Token,
    feature: Feature<'a>,
    start: usize,
    end: usize,
    known: bool,
    /// Of the cheapest path to the end of this word.
    cost: i32,
    before: Option<usize>,
}

/// Where a word's features are read, once it is on the cheapest path.
#[derive(Clone, Copy)]
enum Feature<'a> {
    Of(&'a Lexicon),
    Is(&'a str),
}

/// Words that may begin at one place and that may end at one. Naist-jdic has 200
/// at most; a damaged dictionary, or a user's of one word again and again, would
/// have as many as there is memory for.
const WORDS_MAX: usize = 2_048;

/// Start and end of a text connect like a word of context 0.
const EDGE: u16 = 0;

/// `more` puts further words that the rest of the text begins with.
pub(super) fn divide<'a>(
    dictionary: &'a Dictionary,
    text: &'a str,
    more: impl Fn(&str, &mut dyn FnMut(usize, Token, &'a str)),
) -> Vec<Word<'a>> {
    let mut nodes: Vec<Node<'a>> = Vec::new();
    // Words by the byte at which they end, the latest found last.
    let mut ending: Vec<Vec<usize>> = vec![Vec::new(); text.len() + 1];
    let mut starts = Vec::new();
    for start in text.char_indices().map(|(at, _)| at) {
        if start > 0 && ending[start].is_empty() {
            continue;
        }
        starts.clear();
        words_at(dictionary, text, start, &mut starts);
        let rest = &text[start..];
        more(rest, &mut |length, token, feature| {
            if length > 0 && rest.is_char_boundary(length) && starts.len() < WORDS_MAX {
                starts.push(Node {
                    feature: Feature::Is(feature),
                    ..node_of(token, start, length)
                });
            }
        });
        // MeCab keeps both lists newest first; on a tie the first one wins.
        for mut node in starts.drain(..).rev() {
            let (before, cost) = if start == 0 {
                (None, dictionary.matrix.cost(EDGE, node.token.left))
            } else {
                cheapest(dictionary, &nodes, &ending[start], node.token.left)
            };
            node.before = before;
            node.cost = cost.saturating_add(i32::from(node.token.cost));
            if ending[node.end].len() < WORDS_MAX {
                ending[node.end].push(nodes.len());
                nodes.push(node);
            }
        }
    }
    let (mut last, _) = cheapest(dictionary, &nodes, &ending[text.len()], EDGE);
    let mut words = Vec::new();
    while let Some(index) = last {
        let node = &nodes[index];
        words.push(Word {
            surface: &text[node.start..node.end],
            feature: match node.feature {
                Feature::Of(lexicon) => lexicon.feature(node.token),
                Feature::Is(feature) => feature,
            },
            known: node.known,
        });
        last = node.before;
    }
    words.reverse();
    words
}

fn cheapest(
    dictionary: &Dictionary,
    nodes: &[Node<'_>],
    ending: &[usize],
    left: u16,
) -> (Option<usize>, i32) {
    let mut best = (None, i32::MAX);
    for index in ending.iter().rev() {
        let node = &nodes[*index];
        let cost = node
            .cost
            .saturating_add(dictionary.matrix.cost(node.token.right, left));
        if cost < best.1 {
            best = (Some(*index), cost);
        }
    }
    best
}

/// Every word that may begin here: those of the dictionary, then unknown ones
/// by the rules of the first character's class.
fn words_at<'a>(
    dictionary: &'a Dictionary,
    text: &'a str,
    start: usize,
    found: &mut Vec<Node<'a>>,
) {
    let rest = &text[start..];
    let Some(first) = rest.chars().next() else {
        return;
    };
    let class = dictionary.characters.class(first);
    let system = &dictionary.system;
    system.prefixes(rest.as_bytes(), |length, entries| {
        // A damaged dictionary could name a length inside of a character.
        if length > 0 && rest.is_char_boundary(length) {
            let left = WORDS_MAX.saturating_sub(found.len());
            let tokens = system.tokens(entries).take(left);
            found.extend(tokens.map(|token| node(system, token, start, length, true)));
        }
    });
    if !found.is_empty() && !class.always() {
        return;
    }
    let templates = dictionary.characters.templates(class);
    let unknown = &dictionary.unknown;
    let add = |length: usize, found: &mut Vec<Node<'a>>| {
        let tokens = templates
            .into_iter()
            .flat_map(|entries| unknown.tokens(entries));
        found.extend(tokens.map(|token| node(unknown, token, start, length, false)));
    };
    let mut group = None;
    if class.groups() {
        let (length, characters) = run(dictionary, rest, class);
        if characters <= GROUP_MAX {
            add(length, found);
        }
        group = Some(length);
    }
    let mut length = first.len_utf8();
    for _ in 0..class.length() {
        // The whole run has been added already.
        if group == Some(length) {
            break;
        }
        add(length, found);
        let next = rest[length..].chars().next();
        match next.filter(|next| class.is_kind_of(dictionary.characters.class(*next))) {
            Some(next) => length += next.len_utf8(),
            None => break,
        }
    }
    if found.is_empty() {
        add(first.len_utf8(), found);
    }
}

/// Bytes of the run of one class, and its characters after the first.
fn run(dictionary: &Dictionary, rest: &str, mut class: Class) -> (usize, usize) {
    let mut characters = rest.chars();
    let mut length = characters.next().map_or(0, char::len_utf8);
    let mut count = 0;
    for character in characters {
        let next = dictionary.characters.class(character);
        if !class.is_kind_of(next) {
            break;
        }
        length += character.len_utf8();
        count += 1;
        class = next;
    }
    (length, count)
}

fn node(lexicon: &Lexicon, token: Token, start: usize, length: usize, known: bool) -> Node<'_> {
    Node {
        feature: Feature::Of(lexicon),
        known,
        ..node_of(token, start, length)
    }
}

/// Of a word whose features are still to be told.
fn node_of<'a>(token: Token, start: usize, length: usize) -> Node<'a> {
    Node {
        token,
        feature: Feature::Is(""),
        start,
        end: start + length,
        known: true,
        cost: 0,
        before: None,
    }
}
