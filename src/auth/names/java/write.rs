//! Writes patterns in the syntax of the engine, `fancy-regex`.

use std::fmt::Write as _;

use super::pattern::Node;

impl Node {
    /// Appends the pattern. Alternatives, and whatever a quantifier repeats, are enclosed in a group.
    pub(super) fn write(&self, out: &mut String) {
        let within = |out: &mut String, opening: &str, node: &Self| {
            out.push_str(opening);
            node.write(out);
            out.push(')');
        };
        match self {
            Self::Set(set) => set.write(out),
            Self::Start => out.push_str(r"\A"),
            Self::End => out.push_str(r"\z"),
            Self::WordBoundary { negated: false } => out.push_str(r"\b"),
            Self::WordBoundary { negated: true } => out.push_str(r"\B"),
            Self::Group(node) => within(out, "(", node),
            Self::Look { opening, node } => within(out, opening, node),
            Self::Atomic(node) => within(out, "(?>", node),
            Self::Reference(group) => {
                // In a group, because a digit may follow: `\1` and `0` would become `\10`.
                let _ = write!(out, "(?:\\{group})");
            }
            Self::Concat(nodes) => nodes.iter().for_each(|node| node.write(out)),
            Self::Alternatives(nodes) => {
                out.push_str("(?:");
                for (i, node) in nodes.iter().enumerate() {
                    if i > 0 {
                        out.push('|');
                    }
                    node.write(out);
                }
                out.push(')');
            }
            Self::Repeat {
                node,
                min,
                max,
                lazy,
            } => {
                match **node {
                    Self::Set(_) | Self::Group(_) => node.write(out),
                    Self::Start
                    | Self::End
                    | Self::WordBoundary { .. }
                    | Self::Look { .. }
                    | Self::Atomic(_)
                    | Self::Reference(_)
                    | Self::Concat(_)
                    | Self::Alternatives(_)
                    | Self::Repeat { .. } => within(out, "(?:", node),
                }
                let _ = match (min, max) {
                    (0, None) => write!(out, "*"),
                    (1, None) => write!(out, "+"),
                    (0, Some(1)) => write!(out, "?"),
                    (min, None) => write!(out, "{{{min},}}"),
                    (min, Some(max)) => write!(out, "{{{min},{max}}}"),
                };
                if *lazy {
                    out.push('?');
                }
            }
        }
    }
}
