//! A pattern of `java.util.regex` as a tree.
//!
//! Only constructs that are known to have the same meaning in every version of Java are accepted; the
//! others are refused with the reason. The tree is written in the engine's syntax (`write`), and
//! analysed by the check of the configuration (`overlap`).

use super::{
    class::{DEEPEST, Escape, class, escape},
    error::PatternError,
    lexer::{Lexer, Token},
    set::CharSet,
};

/// The largest number in `{n,m}`.
const MOST_REPEATS: u32 = 1000;

/// A piece of a pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::auth::names) enum Node {
    /// One character of a set.
    Set(CharSet),
    /// `^`, `\A`
    Start,
    /// `$`, `\z`, `\Z`: equal for names, which have no line ends.
    End,
    /// `\b`, `\B`
    WordBoundary {
        negated: bool,
    },
    /// `(…)`
    Group(Box<Node>),
    /// `(?=…)`, `(?!…)`, `(?<=…)`, `(?<!…)`; `opening` is the text before the pattern.
    Look {
        opening: &'static str,
        node: Box<Node>,
    },
    /// `(?>…)`
    Atomic(Box<Node>),
    /// `\1`
    Reference(usize),
    Concat(Vec<Node>),
    Alternatives(Vec<Node>),
    Repeat {
        node: Box<Node>,
        min: u32,
        max: Option<u32>,
        lazy: bool,
    },
}

#[derive(Clone, Debug)]
pub(in crate::auth::names) struct Pattern {
    pub(in crate::auth::names) node: Node,
    /// The pattern has `\b`: which letters beyond ASCII are part of a word depends on the version of
    /// Java.
    pub(in crate::auth::names) ascii_only: bool,
}

struct Parser {
    lexer: Lexer,
    any_case: bool,
    ascii_only: bool,
    /// One entry for each group that has begun: whether it has ended.
    groups: Vec<bool>,
    in_look: bool,
    depth: usize,
}

const LOOKS: [(&str, &str); 4] = [
    ("?=", "(?="),
    ("?!", "(?!"),
    ("?<=", "(?<="),
    ("?<!", "(?<!"),
];

impl Pattern {
    /// Reads a pattern.
    pub(in crate::auth::names) fn parse(text: &str) -> Result<Self, PatternError> {
        let mut parser = Parser {
            lexer: Lexer::new(text),
            any_case: false,
            ascii_only: false,
            groups: Vec::new(),
            in_look: false,
            depth: 0,
        };
        let node = parser.alternatives()?;
        if parser.lexer.peek().is_some() {
            return Err(PatternError::Malformed("`)` without `(`"));
        }
        Ok(Self {
            node,
            ascii_only: parser.ascii_only,
        })
    }
}

impl Parser {
    /// Reads up to the end or an unquoted `)`.
    fn alternatives(&mut self) -> Result<Node, PatternError> {
        let mut all = vec![self.sequence()?];
        while self.lexer.eat("|") {
            all.push(self.sequence()?);
        }
        Ok(match all.len() {
            1 => all.remove(0),
            _ => Node::Alternatives(all),
        })
    }

    fn sequence(&mut self) -> Result<Node, PatternError> {
        let mut nodes = Vec::new();
        while self.lexer.peek().is_some() && !self.lexer.sees("|") && !self.lexer.sees(")") {
            let Some(node) = self.atom()? else {
                self.no_quantifier()?;
                continue;
            };
            nodes.push(match node {
                Node::Start | Node::End | Node::WordBoundary { .. } | Node::Look { .. } => {
                    self.no_quantifier()?;
                    node
                }
                Node::Set(_)
                | Node::Group(_)
                | Node::Atomic(_)
                | Node::Reference(_)
                | Node::Concat(_)
                | Node::Alternatives(_)
                | Node::Repeat { .. } => self.quantified(node)?,
            });
        }
        Ok(match nodes.len() {
            1 => nodes.remove(0),
            _ => Node::Concat(nodes),
        })
    }

    /// Reads one element; `None` if it was flags for the elements that follow.
    fn atom(&mut self) -> Result<Option<Node>, PatternError> {
        let token = self.lexer.next();
        Ok(Some(match token {
            None => Node::Concat(Vec::new()),
            Some(Token::Raw('\\')) => match escape(&mut self.lexer, self.any_case)? {
                Escape::Char(c) => self.literal(c),
                Escape::Set(set) => Node::Set(set),
                Escape::Other(c) => self.assertion(c)?,
            },
            Some(Token::Raw('[')) => Node::Set(class(&mut self.lexer, self.any_case, 0)?),
            Some(Token::Raw('(')) => return self.group(),
            Some(Token::Raw('.')) => {
                // Without DOTALL, Java's `.` excludes more line ends than the engine's, which excludes
                // `\n` only.
                Node::Set(CharSet::pairs("\n\n\r\r\u{85}\u{85}\u{2028}\u{2029}").negated())
            }
            Some(Token::Raw('^')) => Node::Start,
            Some(Token::Raw('$')) => Node::End,
            Some(Token::Raw('*' | '+' | '?' | '{')) => {
                return Err(PatternError::Malformed(
                    "a quantifier has nothing to repeat",
                ));
            }
            Some(Token::Raw(c) | Token::Quoted(c)) => self.literal(c),
        }))
    }

    fn literal(&self, c: char) -> Node {
        let set = CharSet::of(c);
        Node::Set(if self.any_case {
            set.in_any_case()
        } else {
            set
        })
    }

    fn assertion(&mut self, c: char) -> Result<Node, PatternError> {
        Ok(match c {
            'A' => Node::Start,
            'z' | 'Z' => Node::End,
            // `\b{g}` is a grapheme boundary in Java 9 and later, and is refused below.
            'b' | 'B' if !self.lexer.sees("{") => {
                self.ascii_only = true;
                Node::WordBoundary { negated: c == 'B' }
            }
            '1'..='9' => {
                let group = c.to_digit(10).unwrap_or_default() as usize;
                // Java has rules of its own for a reference to a group that has not ended, for a second
                // digit, and under `(?i)`.
                let ended = self.groups.get(group - 1) == Some(&true);
                if !ended || self.any_case || self.lexer.digit().is_some() {
                    return Err(PatternError::escape(c));
                }
                Node::Reference(group)
            }
            other => return Err(PatternError::escape(other)),
        })
    }

    /// Reads a group after its `(`.
    fn group(&mut self) -> Result<Option<Node>, PatternError> {
        let any_case = self.any_case;
        if self.lexer.sees("?") {
            for (flag, on) in [("?i", true), ("?-i", false)] {
                if self.lexer.eat(&format!("{flag})")) {
                    self.any_case = on;
                    return Ok(None);
                }
                if self.lexer.eat(&format!("{flag}:")) {
                    self.any_case = on;
                    return self.inner(any_case).map(Some);
                }
            }
            if self.lexer.eat("?:") {
                return self.inner(any_case).map(Some);
            }
            if self.lexer.eat("?>") {
                let node = self.inner(any_case)?;
                node.without_group("(?>…(…)…)")?;
                return Ok(Some(Node::Atomic(Box::new(node))));
            }
            for (begin, opening) in LOOKS {
                if self.lexer.eat(begin) {
                    let outer = std::mem::replace(&mut self.in_look, true);
                    let node = Box::new(self.inner(any_case)?);
                    self.in_look = outer;
                    return Ok(Some(Node::Look { opening, node }));
                }
            }
            return Err(PatternError::Flags(self.lexer.shown(3).into()));
        }
        if self.in_look {
            return Err(PatternError::Unsupported("(?=…(…)…)".into()));
        }
        let number = self.groups.len();
        self.groups.push(false);
        let node = self.inner(any_case)?;
        self.groups[number] = true;
        Ok(Some(Node::Group(Box::new(node))))
    }

    /// Reads up to the closing `)`, where flags end.
    fn inner(&mut self, any_case_outside: bool) -> Result<Node, PatternError> {
        self.depth += 1;
        if self.depth > DEEPEST {
            return Err(PatternError::Unsupported("((((…".into()));
        }
        let node = self.alternatives()?;
        if !self.lexer.eat(")") {
            return Err(PatternError::OpenGroup);
        }
        self.depth -= 1;
        self.any_case = any_case_outside;
        // The sequence is kept together, so that a quantifier repeats all of it.
        Ok(match node {
            Node::Concat(_) => Node::Alternatives(vec![node]),
            other => other,
        })
    }

    /// Refuses a quantifier after a position or another quantifier. If Java accepts one there, its
    /// meaning is never the intended one.
    fn no_quantifier(&self) -> Result<(), PatternError> {
        match self.lexer.peek() {
            Some(Token::Raw('*' | '+' | '?' | '{')) => Err(PatternError::Malformed(
                "a quantifier has nothing to repeat",
            )),
            Some(_) | None => Ok(()),
        }
    }

    fn quantified(&mut self, node: Node) -> Result<Node, PatternError> {
        const COUNT: PatternError = PatternError::Malformed("`{` without a number of repetitions");
        let (min, max) = if self.lexer.eat("*") {
            (0, None)
        } else if self.lexer.eat("+") {
            (1, None)
        } else if self.lexer.eat("?") {
            (0, Some(1))
        } else if self.lexer.eat("{") {
            let min = self.lexer.number(MOST_REPEATS).ok_or(COUNT)?;
            let max = if !self.lexer.eat(",") {
                Some(min)
            } else if self.lexer.sees("}") {
                None
            } else {
                Some(self.lexer.number(MOST_REPEATS).ok_or(COUNT)?)
            };
            if !self.lexer.eat("}") || max.is_some_and(|max| max < min) {
                return Err(COUNT);
            }
            (min, max)
        } else {
            return Ok(node);
        };
        if max.is_none_or(|max| max > 1) && node.may_be_empty() {
            // The engines end such loops at different iterations.
            return Err(PatternError::Unsupported(
                "(…)* of what can be empty".into(),
            ));
        }
        let possessive = self.lexer.eat("+");
        if possessive {
            node.without_group("(…)*+")?;
        }
        let lazy = !possessive && self.lexer.eat("?");
        self.no_quantifier()?;
        let repeat = Node::Repeat {
            node: Box::new(node),
            min,
            max,
            lazy,
        };
        Ok(if possessive {
            Node::Atomic(Box::new(repeat))
        } else {
            repeat
        })
    }
}

impl Node {
    /// Refuses groups inside a possessive quantifier or an atomic group: if that is left again without
    /// a match, Java keeps what the group has captured, and the engine does not.
    fn without_group(&self, shown: &str) -> Result<(), PatternError> {
        if self.has_group() {
            return Err(PatternError::Unsupported(shown.into()));
        }
        Ok(())
    }

    fn has_group(&self) -> bool {
        match self {
            Self::Group(_) => true,
            Self::Set(_)
            | Self::Start
            | Self::End
            | Self::WordBoundary { .. }
            | Self::Reference(_) => false,
            Self::Look { node, .. } | Self::Atomic(node) | Self::Repeat { node, .. } => {
                node.has_group()
            }
            Self::Concat(nodes) | Self::Alternatives(nodes) => nodes.iter().any(Self::has_group),
        }
    }

    fn may_be_empty(&self) -> bool {
        match self {
            Self::Set(_) => false,
            Self::Start | Self::End | Self::WordBoundary { .. } | Self::Look { .. } => true,
            Self::Reference(_) => true,
            Self::Group(node) | Self::Atomic(node) => node.may_be_empty(),
            Self::Concat(nodes) => nodes.iter().all(Self::may_be_empty),
            Self::Alternatives(nodes) => nodes.iter().any(Self::may_be_empty),
            Self::Repeat { node, min, .. } => *min == 0 || node.may_be_empty(),
        }
    }
}
