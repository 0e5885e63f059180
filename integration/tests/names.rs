//! `auth_to_local` compared with Hadoop's own `KerberosName`: the gateway refuses rules at the
//! check and principals at the login, but never maps to another name than Hadoop.
#![allow(clippy::unwrap_used, reason = "a test's helpers fail as the test does")]

use std::collections::BTreeMap;

use lab::{REALM, RuleSet, jdks, kerberos_names};
use spnegate::{
    auth::names::{AuthToLocal, Mechanism},
    gss::Principal,
};

/// Number of generated rule sets, used twice.
const SETS: usize = 6_000;

/// xorshift: the same rules in every run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, most: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 33).unwrap() % most
    }

    fn one<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of[self.below(of.len())]
    }

    fn some(&mut self, of: &[&str], most: usize) -> String {
        (0..self.below(most + 1)).map(|_| self.one(of)).collect()
    }
}

/// Parts of patterns: those in use, and those that regex engines treat differently.
const PIECES: &[&str] = &[
    "a",
    "b",
    "x",
    "A",
    "K",
    "@",
    ".",
    ".*",
    ".+",
    "alice",
    "EXAMPLE.COM",
    r"\.",
    "-",
    "_",
    " ",
    ":",
    "9",
    "é",
    "\u{212a}",
    "*",
    "+",
    "?",
    "*?",
    "+?",
    "??",
    "*+",
    "++",
    "?+",
    "{2}",
    "{1,2}",
    "{0,}",
    "{2}?",
    "{1,2}+",
    "{,2}",
    "{",
    "}",
    "]",
    "^",
    "$",
    "|",
    r"\A",
    r"\z",
    r"\Z",
    r"\b",
    r"\B",
    r"\G",
    "[a-z]",
    "[^a-z]",
    "[A-Z]",
    "[a-zA-Z0-9._-]",
    "[[:alpha:]]",
    "[:alpha:]",
    "[^:alpha:]",
    "[a-",
    "]",
    "[]a]",
    "[^]a]",
    "[a-c[x-z]]",
    "[^a[b]]",
    "[a-z&&[^b]]",
    "[a-z&&abc]",
    "[a-z&&[^b]c]",
    "[^a-z&&b]",
    "[a&b]",
    "[&&a]",
    "[a-]",
    "[-a]",
    "[--/]",
    "[a-z-9]",
    "[a~~b]",
    "[a--b]",
    r"[\w.-]",
    r"[\w-a]",
    r"[^\d]",
    r"[\d-z]",
    r"[\Q^]\E]",
    "[z-a]",
    "[^^]",
    "[.$]",
    r"[\p{Alpha}@]",
    r"[\x41-\x43]",
    "[é-ü]",
    "[^é]",
    "[ a]",
    "[a#b]",
    r"\d",
    r"\D",
    r"\w",
    r"\W",
    r"\s",
    r"\S",
    r"\h",
    r"\v",
    r"\R",
    r"\p{Lower}",
    r"\p{Upper}",
    r"\p{Alpha}",
    r"\P{Alnum}",
    r"\p{Punct}",
    r"\p{L}",
    r"\pL",
    r"\p{IsAlphabetic}",
    r"\x41",
    r"\u0041",
    r"\x{41}",
    r"\x+1",
    r"\t",
    r"\0101",
    r"\cA",
    r"\Qa.b\E",
    r"\Q@\E",
    r"\QEXAMPLE.COM\E",
    r"\Q",
    r"\E",
    r"\\",
    r"\@",
    r"\-",
    r"\T",
    r"\é",
    r"\_",
    r"\:",
];

/// Those with `)`, which cannot be in a match.
const GROUPS: &[&str] = &[
    "(a)",
    "(.)",
    "(.*)",
    "(a|b)",
    "(?:a|b)",
    "(a*)*",
    "(a|)+",
    "(a)?",
    "(.)(.)",
    "(a+)+",
    "(?:ab)*",
    "(a)|b",
    "(?i)",
    "(?i:a)",
    "(?i)[a-z]",
    "(?i)k",
    "(?-i)",
    "(?s)",
    "(?=a)",
    "(?!a)",
    "(?<=a)",
    "(?<!a)",
    "(?>a*)",
    r"(.)\1",
    r"\1",
    r"\2",
    r"(a\1)",
    "(?<n>a)",
    "(?#c)",
    "(a){2}",
    "(a){1,2}?",
    "((a)b)",
    "(",
    ")",
    "(?i)\u{17f}",
    "(?:a|ab)(?:c|b)?",
    "(a?)b",
    "^(.*)@.*$",
];

const FORMATS: &[&str] = &[
    "1:$1",
    "1:$1@$0",
    "1:$1@$0",
    "1:$1@$0",
    "2:$1@$0",
    "2:$1",
    "2:$2",
    "2:$1;$2",
    "2:$1@$0",
    "2:$1/$2@$0",
    "1:$0",
    "1:x$1",
    "1:",
    "2:$1$1",
    "1:$2",
    "1:$",
    "0:x",
    "3:$3",
    "01:$1",
    "1:$1 $0",
    "1:$01",
    ":$1",
    "1:$1$",
    "1:a$10",
];

const REPLACEMENTS: &[&str] = &[
    "", "", "x", "yarn", "$0", "$1", "$2", "$1$2", "$12", "<$1>", r"\$1", r"\\", "\\", "$", "${n}",
    "a b", " ", "é", "$0$0", r"\a",
];

const PRINCIPALS: &[&str] = &[
    "alice@EXAMPLE.COM",
    "ALICE@EXAMPLE.COM",
    "alice@OTHER.COM",
    "Alice.Ab@EXAMPLE.COM",
    "a@EXAMPLE.COM",
    "aa@EXAMPLE.COM",
    "ab@R",
    "abab@R",
    "b@EXAMPLExCOM",
    "x_9-a.b@R",
    "alpha:@R",
    ":@R",
    "[:alpha:]@R",
    "a b@R",
    "K@R",
    "k@R",
    "\u{212a}@R",
    "\u{17f}@R",
    "é@R",
    "É@R",
    "ΣΑΣ@R",
    "İI@R",
    "müller@EXAMPLE.COM",
    "٤٢@R",
    "42@R",
    "a&b@R",
    "~a~@R",
    "a^]@R",
    "$1@R",
    "a$b@R",
    "hdfs/nn.example.com@EXAMPLE.COM",
    "rm/a@EXAMPLE.COM",
    "HTTP/alice@OTHER.COM",
    "alice/admin@R",
    "a/a@a",
    "K/é@R",
];

/// The pieces that rules are made of: all of them, or those that the gateway takes, so that most
/// rules can be compared.
struct Pieces {
    of_match: Vec<&'static str>,
    of_substitution: Vec<&'static str>,
    replacements: &'static [&'static str],
    formats: &'static [&'static str],
    odd: bool,
}

impl Pieces {
    fn all() -> Self {
        Self {
            of_match: PIECES.to_vec(),
            of_substitution: [PIECES, GROUPS, GROUPS].concat(),
            replacements: REPLACEMENTS,
            formats: FORMATS,
            odd: true,
        }
    }

    fn sound() -> Self {
        let sound = |piece: &&str| {
            let rule = format!("RULE:[1:$1]s/a{piece}/x/");
            AuthToLocal::compile(&[rule], Mechanism::Hadoop, REALM).is_ok()
        };
        let Self {
            of_match,
            of_substitution,
            ..
        } = Self::all();
        Self {
            of_match: of_match.into_iter().filter(sound).collect(),
            of_substitution: of_substitution.into_iter().filter(sound).collect(),
            replacements: &["", "", "x", "yarn", "$0", "<$0>", r"\$1", "a b", "é"],
            formats: &[
                "1:$1", "1:$1@$0", "1:$1@$0", "2:$1@$0", "2:$1;$2", "2:$2", "1:x$1.$0",
            ],
            odd: false,
        }
    }

    fn odd(&self, dice: &mut Dice, odd: &[&'static str]) -> &'static str {
        if self.odd {
            odd[dice.below(odd.len())]
        } else {
            ""
        }
    }

    fn full_match(&self, dice: &mut Dice) -> String {
        let pattern = dice.some(&self.of_match, 4);
        match dice.below(5) {
            0 => String::new(),
            1 => format!("(.*@{pattern})"),
            2 => format!("(.*{pattern}.*)"),
            3 => format!("({pattern}.*)"),
            _ => format!("({pattern})"),
        }
    }

    fn substitution(&self, dice: &mut Dice) -> String {
        if dice.below(4) == 0 {
            return String::new();
        }
        let from = match dice.below(4) {
            0 => format!("(.){}", dice.some(&self.of_substitution, 3)),
            _ => dice.some(&self.of_substitution, 4),
        };
        let to = if from.starts_with("(.)") {
            dice.one(&["$1", "<$1>", "$1$0", "$12"]).to_owned()
        } else {
            dice.some(self.replacements, 2)
        };
        let flags = dice.one(&["", "g"]);
        format!(
            "s/{from}/{to}/{flags}{}",
            self.odd(dice, &["", "", "", "i", " "])
        )
    }

    fn rule(&self, dice: &mut Dice) -> String {
        if dice.below(8) == 0 {
            return "DEFAULT".to_owned();
        }
        let format = dice.one(self.formats);
        let (pattern, substitution) = (self.full_match(dice), self.substitution(dice));
        let blank = self.odd(dice, &["", "", "", "", "", "", "", " "]);
        let end = dice.one(&["", "", "", "/L", "L"]);
        let odd = self.odd(dice, &["", "", "", "/", "/L"]);
        format!("RULE:[{format}]{pattern}{blank}{substitution}{end}{odd}")
    }
}

fn made_up(dice: &mut Dice, pieces: &Pieces) -> RuleSet {
    let mut rules = pieces.rule(dice);
    for _ in 0..dice.below(3) {
        rules += dice.one(&[" ", "\n", "\t ", "", " \u{b}"]);
        rules += pieces.odd(dice, &["", "", "", "", "", ",", "\u{a0}"]);
        rules += &pieces.rule(dice);
    }
    RuleSet {
        mechanism: ["hadoop", "hadoop", "mit"][dice.below(3)],
        rules,
        principals: PRINCIPALS.iter().map(ToString::to_string).collect(),
    }
}

/// Rules from vendors' documentation and from clusters: none may be refused.
const IN_USE: &[&str] = &[
    "DEFAULT",
    "RULE:[1:$1@$0](.*@EXAMPLE.COM)s/@.*//\nRULE:[2:$1@$0](hdfs@EXAMPLE.COM)s/.*/hdfs/\nDEFAULT",
    "RULE:[2:$1@$0](rm@EXAMPLE.COM)s/.*/yarn/ RULE:[2:$1@$0](nm@EXAMPLE.COM)s/.*/yarn/ DEFAULT",
    r"RULE:[1:$1@$0](.*@\QOTHER.COM\E$)s/@\QOTHER.COM\E$//",
    r"RULE:[1:$1@$0](.*@\QOTHER.COM\E$)s/@\QOTHER.COM\E$///L RULE:[2:$1@$0](.*@\QOTHER.COM\E$)s/@\QOTHER.COM\E$///L DEFAULT",
    r"RULE:[1:$1@$0](^.*@EXAMPLE\.COM$)s/^(.*)@EXAMPLE\.COM$/$1/g DEFAULT",
    r"RULE:[2:$1](johndoe)s/^.*$/guest/ RULE:[2:$1;$2](^.*;admin$)s/;admin$// RULE:[2:$2](root) DEFAULT",
    r"RULE:[1:$1@$0]([a-zA-Z0-9._-]*@OTHER\.COM)s/@.*//L",
    r"RULE:[1:$1@$0](.*@.*\.COM)s/([^@]*)@.*/$1/",
    r"RULE:[1:$1](\w+)s/([A-Z])/_$1/g/L",
    r"RULE:[1:$1@$0]([^@]+@R)s/[^a-z0-9]/_/g",
    r"RULE:[2:$1@$0]((rm|nm)@EXAMPLE.COM)s/.*/yarn/",
];

fn principal(text: &str) -> Principal {
    let (name, realm) = text.rsplit_once('@').unwrap();
    Principal::new(name.split('/'), realm).unwrap()
}

/// Compares the names and prints how often each outcome occurred.
fn compare(sets: &[RuleSet], theirs: &[lab::Mapped]) -> [usize; 5] {
    let (mut refused, mut both, mut same, mut shy, mut neither) = (0, 0, 0, 0, 0);
    let mut differing = Vec::new();
    for (set, theirs) in sets.iter().zip(theirs) {
        let mechanism = if set.mechanism == "mit" {
            Mechanism::Mit
        } else {
            Mechanism::Hadoop
        };
        let Ok(ours) = AuthToLocal::compile(&[&set.rules], mechanism, REALM) else {
            refused += 1;
            continue;
        };
        both += 1;
        for (at, text) in set.principals.iter().enumerate() {
            let theirs = theirs.as_ref().and_then(|names| names[at].clone());
            match (ours.map(&principal(text)).ok(), theirs) {
                (Some(ours), Some(theirs)) if ours == theirs => same += 1,
                (None, Some(_)) => shy += 1,
                (None, None) => neither += 1,
                (Some(ours), theirs) => {
                    differing.push(format!(
                        "{:?} {text}: {ours:?}, Hadoop {theirs:?}",
                        set.rules
                    ));
                }
            }
        }
    }
    let shown = differing.len().min(40);
    assert!(
        differing.is_empty(),
        "{} differ: {:#?}",
        differing.len(),
        &differing[..shown]
    );
    [refused, both, same, shy, neither]
}

/// How often the gateway refuses rules that Hadoop takes, by the cause.
fn refused_alone(sets: &[RuleSet], theirs: &[lab::Mapped]) -> BTreeMap<String, usize> {
    let mut causes = BTreeMap::new();
    for (set, _) in sets
        .iter()
        .zip(theirs)
        .filter(|(_, theirs)| theirs.is_some())
    {
        if let Err(errors) = AuthToLocal::compile(&[&set.rules], Mechanism::Hadoop, REALM) {
            *causes.entry(errors[0].kind.to_string()).or_default() += 1;
        }
    }
    causes
}

#[test]
fn no_rule_maps_to_another_name_than_hadoop() {
    let mut dice = Dice(0x5eed_0fa1_1ce5);
    for (what, pieces) in [
        ("anything", Pieces::all()),
        ("what is taken", Pieces::sound()),
    ] {
        let sets: Vec<RuleSet> = (0..SETS).map(|_| made_up(&mut dice, &pieces)).collect();
        for home in jdks().unwrap() {
            let theirs = kerberos_names(&home, &sets).unwrap();
            let [refused, both, same, shy, neither] = compare(&sets, &theirs);
            let alone = refused_alone(&sets, &theirs);
            println!(
                "{what}, {}: {SETS} sets of rules, {refused} refused ({} of them by the gateway alone), \
                 {both} compared: {same} names equal, {neither} refused by both, {shy} by the gateway \
                 alone, 0 different",
                home.display(),
                alone.values().sum::<usize>(),
            );
            println!("{alone:#?}");
            if !pieces.odd {
                assert!(
                    both > SETS / 2 && same > 3 * SETS,
                    "the rules made up say too little"
                );
            }
        }
    }
}

#[test]
fn documented_rules_are_accepted_with_hadoops_meaning() {
    let set = |rules: &&str| RuleSet {
        mechanism: "hadoop",
        rules: (*rules).to_owned(),
        principals: PRINCIPALS.iter().map(ToString::to_string).collect(),
    };
    let sets: Vec<RuleSet> = IN_USE.iter().map(set).collect();
    for home in jdks().unwrap() {
        let theirs = kerberos_names(&home, &sets).unwrap();
        let [refused, both, ..] = compare(&sets, &theirs);
        // Hadoop itself refuses the last one: its expression ends at the first `)`
        assert_eq!((refused, both), (1, IN_USE.len() - 1));
        assert_eq!(theirs.iter().filter(|theirs| theirs.is_none()).count(), 1);
    }
}

/// Characters that the cases of Rust's and Java's tables may differ in.
#[test]
fn lower_case_conversion_matches_java_or_is_refused() {
    let names = ('\u{21}'..='\u{ffff}').filter(|c| !matches!(c, '/' | '@' | '\\'));
    let set = RuleSet {
        mechanism: "hadoop",
        rules: "RULE:[1:$1]/L".to_owned(),
        principals: names.map(|c| format!("a{c}@R")).collect(),
    };
    let sets = [set];
    for home in jdks().unwrap() {
        let theirs = kerberos_names(&home, &sets).unwrap();
        let [_, _, same, shy, _] = compare(&sets, &theirs);
        println!("{}: {same} equal, {shy} refused", home.display());
        assert!(same > 50_000, "{same}");
    }
}
