//! What does the YAML say, and on which line does each part stand?
//!
//! The serde readers of YAML keep the line of a value but turn `1.10` into a number before anybody
//! can ask whether a version was meant, and stop at the first fault. So the parser's events are
//! made into a small tree here: texts as they were written, with their lines.

use super::read::BEGINS;
use granit_parser::{Event, Parser, ScalarStyle, ScanError};
use std::collections::HashMap;

/// Nodes of a document at most: aliases of aliases could make a short text into a huge tree.
const MAX_NODES: usize = 20_000;

/// A value with its line.
#[derive(Clone, Debug)]
pub(super) struct Node {
    /// The line, counted from 1.
    pub(super) line: usize,
    /// The value.
    pub(super) kind: Kind,
}

/// The forms of a value.
#[derive(Clone, Debug)]
pub(super) enum Kind {
    /// Nothing, `~` or `null`.
    Null,
    /// A text, as it was written.
    Scalar {
        /// The text.
        text: String,
        /// It stood there without quotes, so it may mean a number or a boolean.
        plain: bool,
    },
    /// A list.
    List(Vec<Node>),
    /// A map, in the order of the file.
    Map(Vec<Entry>),
}

/// An entry of a map.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    /// The key.
    pub(super) key: String,
    /// The line of the key.
    pub(super) line: usize,
    /// The value.
    pub(super) value: Node,
}

/// Why a text is no YAML document that we read.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct SyntaxFault {
    /// The line, counted from 1.
    pub(super) line: usize,
    /// What is wrong.
    pub(super) problem: String,
    /// What to do about it.
    pub(super) hint: &'static str,
}

/// What a key must be.
const KEY: &str = "a key is a word, as in `rate: 200/s`; quote it when it begins with a sign";

impl Node {
    /// The value as a fault shows it: short, on one line.
    pub(super) fn written(&self) -> String {
        match &self.kind {
            Kind::Null => "null".to_owned(),
            Kind::Scalar { text, .. } => short(text),
            Kind::List(_) => "[..]".to_owned(),
            Kind::Map(_) => "{..}".to_owned(),
        }
    }

    /// What the value is, for `expected .., found ..`.
    pub(super) const fn noun(&self) -> &'static str {
        match self.kind {
            Kind::Null => "nothing",
            Kind::Scalar { .. } => "a value",
            Kind::List(_) => "a list",
            Kind::Map(_) => "a map",
        }
    }

    fn count(&self) -> usize {
        1 + match &self.kind {
            Kind::Null | Kind::Scalar { .. } => 0,
            Kind::List(items) => items.iter().map(Self::count).sum(),
            Kind::Map(entries) => entries.iter().map(|entry| entry.value.count()).sum(),
        }
    }
}

fn short(text: &str) -> String {
    const LONGEST: usize = 60;
    let line: String = text
        .chars()
        .take(LONGEST)
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    if text.chars().nth(LONGEST).is_some() {
        format!("{line}..")
    } else {
        line
    }
}

/// Reads one YAML document.
pub(super) fn parse(text: &str) -> Result<Node, SyntaxFault> {
    let mut grower = Grower::default();
    for event in Parser::new_from_str(text) {
        let (event, span) = event.map_err(|error| syntax(&error))?;
        grower.take(event, span.start.line())?;
    }
    grower.root.ok_or(SyntaxFault {
        line: 1,
        problem: "the document is empty".to_owned(),
        hint: BEGINS,
    })
}

fn syntax(error: &ScanError) -> SyntaxFault {
    SyntaxFault {
        line: error.marker().line(),
        problem: format!("not YAML: {}", error.info()),
        hint: "look for a bracket, a quote or an indentation that does not fit, here or above",
    }
}

/// Grows the tree event by event.
#[derive(Default)]
struct Grower {
    /// Collections that are open, outermost first.
    open: Vec<Open>,
    /// Finished values that have an anchor.
    anchors: HashMap<usize, Node>,
    nodes: usize,
    root: Option<Node>,
}

struct Open {
    line: usize,
    anchor: usize,
    content: Content,
}

enum Content {
    List(Vec<Node>),
    Map {
        entries: Vec<Entry>,
        key: Option<(String, usize)>,
    },
}

impl Grower {
    fn take(&mut self, event: Event<'_>, line: usize) -> Result<(), SyntaxFault> {
        match event {
            Event::DocumentStart(..) if self.root.is_some() => Err(SyntaxFault {
                line,
                problem: "a second document begins".to_owned(),
                hint: "a scenario is one document: put the other one into a file of its own",
            }),
            Event::Scalar(text, style, anchor, _) => {
                let plain = style == ScalarStyle::Plain;
                let kind = if plain && matches!(&*text, "" | "~" | "null" | "Null" | "NULL") {
                    Kind::Null
                } else {
                    Kind::Scalar {
                        text: text.into_owned(),
                        plain,
                    }
                };
                self.put(Node { line, kind }, anchor)
            }
            Event::SequenceStart(_, anchor, _) => {
                self.begin(line, anchor, Content::List(Vec::new()))
            }
            Event::MappingStart(_, anchor, _) => self.begin(
                line,
                anchor,
                Content::Map {
                    entries: Vec::new(),
                    key: None,
                },
            ),
            Event::SequenceEnd | Event::MappingEnd => self.end(),
            Event::Alias(anchor) => match self.anchors.get(&anchor).cloned() {
                Some(node) => {
                    self.nodes += node.count();
                    self.put(Node { line, ..node }, 0)
                }
                None => Err(SyntaxFault {
                    line,
                    problem: "an alias stands inside the value that it names".to_owned(),
                    hint: "write the value out",
                }),
            },
            _ => Ok(()),
        }
    }

    fn begin(&mut self, line: usize, anchor: usize, content: Content) -> Result<(), SyntaxFault> {
        if let Some(Open {
            content: Content::Map { key: None, .. },
            ..
        }) = self.open.last()
        {
            return Err(SyntaxFault {
                line,
                problem: "a list or a map stands where a key belongs".to_owned(),
                hint: KEY,
            });
        }
        self.open.push(Open {
            line,
            anchor,
            content,
        });
        Ok(())
    }

    fn end(&mut self) -> Result<(), SyntaxFault> {
        let Some(open) = self.open.pop() else {
            return Ok(());
        };
        let kind = match open.content {
            Content::List(items) => Kind::List(items),
            Content::Map { entries, .. } => Kind::Map(entries),
        };
        let node = Node {
            line: open.line,
            kind,
        };
        self.put(node, open.anchor)
    }

    fn put(&mut self, node: Node, anchor: usize) -> Result<(), SyntaxFault> {
        let line = node.line;
        self.nodes += 1;
        if self.nodes > MAX_NODES {
            return Err(SyntaxFault {
                line,
                problem: format!("the document has more than {MAX_NODES} values"),
                hint: "write fewer of them, or fewer aliases",
            });
        }
        if anchor > 0 {
            self.anchors.insert(anchor, node.clone());
        }
        match self.open.last_mut().map(|open| &mut open.content) {
            None => self.root = Some(node),
            Some(Content::List(items)) => items.push(node),
            Some(Content::Map { entries, key }) => match key.take() {
                None => *key = Some((key_text(node)?, line)),
                Some((key, line)) => entries.push(Entry {
                    key,
                    line,
                    value: node,
                }),
            },
        }
        Ok(())
    }
}

fn key_text(node: Node) -> Result<String, SyntaxFault> {
    match node.kind {
        Kind::Scalar { text, .. } => Ok(text),
        Kind::Null => Ok("null".to_owned()),
        Kind::List(_) | Kind::Map(_) => Err(SyntaxFault {
            line: node.line,
            problem: "a list or a map stands where a key belongs".to_owned(),
            hint: KEY,
        }),
    }
}
