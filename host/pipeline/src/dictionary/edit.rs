//! Words changed in the text a person wrote, with the comments they wrote.

use std::collections::{HashMap, VecDeque};

use toml_edit::{ArrayOfTables, DocumentMut, Item, Table, Value};

use super::{DictionaryFormat, WrittenWord};

/// The text with other words; none if its words are not written as tables.
pub(super) fn over(old: &str, words: &[WrittenWord]) -> Option<String> {
    let before = DictionaryFormat::Toml.read(old).ok()?;
    let mut document: DocumentMut = old.parse().ok()?;
    let tables = match document.get_mut("word") {
        Some(Item::ArrayOfTables(tables)) => std::mem::take(tables),
        Some(_) => return None,
        None => ArrayOfTables::new(),
    };
    let mut known: HashMap<&str, VecDeque<_>> = HashMap::new();
    for (word, table) in before.iter().zip(tables) {
        let known = known.entry(word.surface.as_str()).or_default();
        known.push_back((word, table));
    }
    let mut edited = ArrayOfTables::new();
    for word in words {
        let table = known.get_mut(word.surface.as_str());
        edited.push(match table.and_then(VecDeque::pop_front) {
            Some((was, table)) if was == word => table,
            Some((_, mut table)) => {
                change(&mut table, word)?;
                table
            }
            None => written(word)?,
        });
    }
    document.insert("word", Item::ArrayOfTables(edited));
    Some(document.to_string())
}

fn written(word: &WrittenWord) -> Option<Table> {
    let mut table = fields(word)?;
    table.decor_mut().set_prefix("\n");
    Some(table)
}

/// Keys that stay keep their place and what stands beside them.
fn change(table: &mut Table, word: &WrittenWord) -> Option<()> {
    let new = fields(word)?;
    table.retain(|key, _| new.contains_key(key));
    for (key, value) in &new {
        let value = value.as_value()?;
        match table.get_mut(key).and_then(Item::as_value_mut) {
            Some(old) => {
                let decor = old.decor().clone();
                *old = value.clone();
                *old.decor_mut() = decor;
            }
            None => {
                table.insert(key, Item::Value(plain(value)));
            }
        }
    }
    Some(())
}

fn plain(value: &Value) -> Value {
    let mut value = value.clone();
    value.decor_mut().clear();
    value
}

fn fields(word: &WrittenWord) -> Option<Table> {
    let mut document: DocumentMut = toml::to_string(word).ok()?.parse().ok()?;
    Some(std::mem::take(document.as_table_mut()))
}
