//! Sections that are no product's: what declarations lead to.

use super::super::{ConfigKey, KeyKind, print_redacted, reference, told};
use super::*;

crate::section! {
    /// A door, whose text is long enough to be broken into more than one line of a comment when it
    /// is written.
    struct Door, checked by both {
        /// How wide it is, `m`.
        width: u32 = 7, range(1..=4096);
        /// Who may open it.
        secret: String = String::new(), secret;
        /// Others who may.
        secrets: Vec<String> = Vec::new(), secret;
        /// Where it leads.
        urls: Vec<String> = Vec::new(), url;
        /// Where it stands.
        listen: String = "127.0.0.1:1".into(), listen;
        /// Its colour.
        colour: Option<String> = None, unset("red");
        /// Its handle.
        handle: Handle = Handle::default(), inner;
    }
}

crate::section! {
    /// A handle.
    struct Handle {
        /// How high.
        height: u64 = 3, range(0..=5);
    }
}

crate::compose! {
    /// A house.
    struct House, checked by nothing {
        /// Where it is.
        street: String = "here".into();
        [door: Door]
    }
}

fn both(d: &Door) -> Vec<String> {
    told(&[(d.width == 13, "width: nobody wants 13")])
}

fn nothing(h: &House) -> Vec<String> {
    told(&[(h.street.is_empty() && h.door.width > 100, "street: needed for wide doors")])
}

fn with(sets: &[&str]) -> Result<House, String> {
    let sets = sets.iter().map(|s| (*s).to_owned()).collect();
    load(&Sources { sets, ..Sources::default() }).map_err(|e| e.0)
}

#[test]
fn flags_set_values_of_every_type() {
    let house = with(&["door.width=8", "street=there", "door.urls=[\"a\"]"]).unwrap();
    assert_eq!((house.door.width, house.street.as_str()), (8, "there"));
    assert_eq!(house.door.urls, ["a"]);
}

#[test]
fn what_is_wrong_names_its_place_in_one_line() {
    for (sets, want) in [
        (&["door.width=0"][..], "door.width = 0: must be 1 to 4096"),
        (&["door.handle.height=6"], "door.handle.height = 6: must be 0 to 5"),
        (&["door.listen=here"], "door.listen: \"here\": a listen address is ip:port"),
        (&["door.width=13"], "door.width: nobody wants 13"),
        (&["street=", "door.width=101"], "street: needed for wide doors"),
        (
            &["door.width=5000", "door.handle.height=9"],
            "door.width = 5000: must be 1 to 4096; door.handle.height = 9: must be 0 to 5",
        ),
        (&["nonsense"], "--set: expected key.path=value"),
    ] {
        assert_eq!(with(sets).unwrap_err(), want);
    }
    for (set, want) in [
        ("door.widht=1", "widht"),
        ("door.width=-1", "door.width"),
        ("door.width=x", "door.width"),
        ("door.width=1e30", "door.width"),
        ("door.handle=1", "door.handle"),
    ] {
        let e = with(&[set]).unwrap_err();
        assert!(e.contains(want) && e.lines().count() == 1, "{set}: {e}");
    }
}

/// The environment's numbers go beyond those of TOML.
#[test]
fn a_number_beyond_toml_is_out_of_its_range_and_hides_nothing() {
    for width in [0, 1, u64::MAX] {
        let mut house = House::default();
        house.door.handle.height = u64::MAX;
        house.door.width = width as u32;
        house.door.listen = "here".to_owned();
        let e = check(&house).unwrap_err().0;
        assert!(e.contains("door.handle.height = 18446744073709551615: must be 0 to 5"), "{e}");
        assert!(e.contains("a listen address is ip:port"), "{e}");
        assert_eq!(e.contains("door.width = "), width != 1, "{e}");
        assert!(print_redacted(&house).starts_with("# cannot be printed"));
    }
}

#[test]
fn what_is_printed_is_in_the_order_of_the_reference_and_can_be_read() {
    let shown = print_redacted(&with(&["street=there", "door.width=8"]).unwrap());
    assert!(shown.starts_with("street = \"there\"\n\n[door]\n"), "{shown}");
    assert_eq!(toml::from_str::<House>(&shown).unwrap().door.width, 8);
}

#[test]
fn secrets_are_never_shown() {
    let sets = [
        "door.secret=hunter2",
        "door.secrets=[\"hunter2\"]",
        "door.urls=[\"x://me:hunter2@h/d\", \"x://h\"]",
    ];
    let shown = print_redacted(&with(&sets).unwrap());
    assert!(!shown.contains("hunter2"), "{shown}");
    assert!(shown.contains("x://me:<redacted>@h/d") && shown.contains("x://h"), "{shown}");
    // A secret of digits is no text; the error must not be the place where it is read.
    for set in ["door.secret=4242", "door.secrets=[4242]", "door.secrets=4242", "door.urls=4242"] {
        let e = with(&[set]).unwrap_err();
        assert!(!e.contains("4242") && e.contains("quotes") && e.contains("door."), "{e}");
    }
}

#[test]
fn a_file_that_is_no_toml_shows_none_of_its_text() {
    for (text, at) in [
        ("[door]\nsecret = \"hunter2\n", "line 2"),
        ("[door]\nsecret = hunter2\n", "line 2"),
        ("[door]\n\nsecret = \"a\" hunter2", "line 3"),
        ("hunter2", "line 1"),
        ("[door]\nurls = [\"x://me:hunter2@h/d\", \\hunter2]", "line 2"),
        ("[door]\nsecret = \"\\hunter2\"", "line 2"),
    ] {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        std::io::Write::write_all(&mut file, text.as_bytes()).unwrap();
        let sources = Sources { file: Some(file.path().to_owned()), ..Sources::default() };
        let e = load::<House>(&sources).unwrap_err().0;
        assert!(e.contains(at) && !e.contains("hunter2") && e.lines().count() == 1, "{e}");
    }
    for set in ["door.sec ret=hunter2", "=hunter2", "hunter2"] {
        let e = with(&[set]).unwrap_err();
        assert!(!e.contains("hunter2"), "{e}");
    }
}

#[test]
fn a_part_is_read_alone() {
    let sets = ["door.width=9", "unknown.key=1", "door.colour=red"];
    let sources = Sources { sets: sets.map(str::to_owned).to_vec(), ..Sources::default() };
    assert_eq!(read::<Door>(&sources, "door").unwrap().width, 9);
    assert_eq!(read::<u32>(&sources, "door.width").unwrap(), 9);
    assert_eq!(read::<String>(&sources, "nowhere").unwrap(), "");
    for wrong in [
        read::<u32>(&sources, "door.colour").unwrap_err().0,
        read::<Door>(&sources, "door.colour").unwrap_err().0,
    ] {
        assert!(wrong.contains("door.colour") && !wrong.contains("red"), "{wrong}");
    }
}

#[test]
fn the_reference_is_the_defaults_commented_out() {
    let text = reference::<House>();
    let want = "## Where it is.
# street = \"here\"

## A door, whose text is long enough to be broken into more than one line of a comment when it is
## written.
[door]
## How wide it is, m. From 1 to 4,096.
# width = 7
## Who may open it.
# secret = \"\"
## Others who may.
# secrets = []
## Where it leads.
# urls = []
## Where it stands.
# listen = \"127.0.0.1:1\"
## Its colour.
#? colour = \"red\"

## Its handle.
[door.handle]
## How high. From 0 to 5.
# height = 3
";
    assert_eq!(text, want);
    let key: &ConfigKey = &House::TOP[0];
    assert!(matches!(key.kind, KeyKind::Plain) && key.help() == "Where it is.");
}
