//! The invented people and teams of the sample. They are the same for every seed.

/// A person or team, by position in [`PEOPLE`].
pub(crate) type PersonId = u8;

/// What is special about a person.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    /// An account in use.
    Active,
    /// An account that was suspended: reading it is a 410.
    Suspended,
    /// A team anybody may see.
    Team,
    /// A team only those who are logged in may see.
    PrivateTeam,
}

/// An invented person or team.
#[derive(Debug)]
pub(crate) struct Person {
    /// The name in links.
    pub(crate) name: &'static str,
    /// The name to show.
    pub(crate) display_name: &'static str,
    /// The IANA time zone, if the person has given one.
    pub(crate) time_zone: Option<&'static str>,
    /// What is special about the person.
    pub(crate) standing: Standing,
}

impl Person {
    /// Whether this is a team.
    pub(crate) fn is_team(&self) -> bool {
        matches!(self.standing, Standing::Team | Standing::PrivateTeam)
    }
}

const fn person(name: &'static str, display_name: &'static str, time_zone: &'static str) -> Person {
    Person {
        name,
        display_name,
        time_zone: Some(time_zone),
        standing: Standing::Active,
    }
}

const fn team(name: &'static str, display_name: &'static str, standing: Standing) -> Person {
    Person {
        name,
        display_name,
        time_zone: Some("UTC"),
        standing,
    }
}

/// Everybody. Sets of people are kept in 64 bits, so there can be no more than 64.
pub(crate) const PEOPLE: [Person; 42] = [
    person("ada-example", "Ada Example", "Europe/Lisbon"),
    person("bob-example", "Bob Example", "America/New_York"),
    person("carol-example", "Carol Example", "Asia/Kolkata"),
    person("dan-example", "Dan Example", "Asia/Kathmandu"),
    person("erin-example", "Erin Example", "Australia/Adelaide"),
    Person {
        name: "frank-example",
        display_name: "Frank Example",
        time_zone: None,
        standing: Standing::Active,
    },
    Person {
        name: "grace-example",
        display_name: "Grace Example",
        time_zone: Some("Europe/Paris"),
        standing: Standing::Suspended,
    },
    person("heidi-example", "Heidi Example", "Europe/Zurich"),
    person("ivan-example", "Iv\u{e1}n Example", "America/Bogota"),
    person("judy-example", "Judy Example", "Australia/Lord_Howe"),
    person("karl-example", "Karl Example", "Europe/Berlin"),
    person("lena-example", "Lena Example", "Europe/Helsinki"),
    person("mallory-example", "Mallory Example", "America/St_Johns"),
    person("niaj-example", "Niaj Example", "Asia/Dhaka"),
    person("olivia-example", "Olivia Example", "America/Sao_Paulo"),
    person("peggy-example", "Peggy Example", "Europe/London"),
    person("quentin-example", "Quentin Example", "Europe/Brussels"),
    person("rupert-example", "Rupert Example", "Africa/Johannesburg"),
    person("sybil-example", "Sybil Example", "Pacific/Auckland"),
    person("trent-example", "Trent Example", "America/Los_Angeles"),
    person("ursula-example", "Ursula Example", "Europe/Vienna"),
    person("victor-example", "Victor Example", "Asia/Tokyo"),
    person("wendy-example", "Wendy Example", "America/Chicago"),
    person("xavier-example", "Xavier Example", "Europe/Madrid"),
    person("yolanda-example", "Yolanda Example", "Pacific/Chatham"),
    person("zed-example", "Zed & <Sons> Example", "UTC"),
    person("amir-example", "Amir Example", "Asia/Tehran"),
    person("bela-example", "B\u{e9}la Example", "Europe/Budapest"),
    person("chika-example", "Chika Example", "Africa/Lagos"),
    person("dilnoza-example", "Dilnoza Example", "Asia/Tashkent"),
    person("einar-example", "Einar Example", "Atlantic/Reykjavik"),
    person("fatima-example", "Fatima Example", "Africa/Casablanca"),
    person("goran-example", "Goran Example", "Europe/Belgrade"),
    person("hana-example", "Hana \u{82b1} Example", "Asia/Seoul"),
    person("imke-example", "Imke Example", "Europe/Amsterdam"),
    person("jiri-example", "Ji\u{159}\u{ed} Example", "Europe/Prague"),
    person("keanu-example", "Keanu Example", "Pacific/Honolulu"),
    person("ludo-example", "Ludo Example", "Asia/Yangon"),
    person("maeve-example", "Maeve Example", "Europe/Dublin"),
    team("example-devs", "Example Developers", Standing::Team),
    team("example-bugs", "Example Bug Supervisors", Standing::Team),
    team("example-secret", "Example Secret", Standing::PrivateTeam),
];

/// [`crate::SAMPLE_MEMBER`].
pub(crate) const ADA: PersonId = 0;
/// Who acts in landmarks besides the sample's member.
pub(crate) const BOB: PersonId = 1;
/// The suspended account.
#[cfg(test)]
pub(crate) const GRACE: PersonId = 6;
/// Who is subscribed to all bugs of one project.
pub(crate) const ZED: PersonId = 25;
/// How many of the first [`PEOPLE`] are people, not teams: those who act.
pub(crate) const ACTORS: u8 = 39;
/// The team with members.
pub(crate) const DEVELOPERS: PersonId = 39;
/// The team that supervises the bugs of all targets.
pub(crate) const SUPERVISORS: PersonId = 40;
/// The private team.
pub(crate) const SECRET: PersonId = 41;

/// Earlier names: reading one is a 301 to the new name.
const RENAMED: [(&str, &str); 1] = [("heidi-old-example", "heidi-example")];

/// The person of this name.
pub(crate) fn by_name(name: &str) -> Option<PersonId> {
    let position = PEOPLE.iter().position(|person| person.name == name)?;
    PersonId::try_from(position).ok()
}

/// The person at this position.
pub(crate) fn get(id: PersonId) -> &'static Person {
    PEOPLE.get(usize::from(id)).unwrap_or(&PEOPLE[0])
}

/// The name now of a person or team that was renamed.
pub(crate) fn renamed(name: &str) -> Option<&'static str> {
    RENAMED
        .iter()
        .find(|(old, _)| *old == name)
        .map(|(_, new)| *new)
}

/// The active members of a team, the first of whom owns it.
pub(crate) fn members(team: PersonId) -> Vec<PersonId> {
    match team {
        DEVELOPERS => (0..24).collect(),
        SUPERVISORS => vec![BOB, ADA, 2],
        SECRET => vec![BOB, 3],
        _ => Vec::new(),
    }
}

/// The bit of a person in a set of people.
pub(crate) fn bit(id: PersonId) -> u64 {
    1 << id
}

/// Everybody in a set of people.
pub(crate) fn in_set(set: u64) -> impl Iterator<Item = PersonId> {
    (0..64).filter(move |id| set & bit(*id) != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn named_positions_are_the_people_they_say() {
        assert_eq!(get(ADA).name, crate::SAMPLE_MEMBER);
        assert_eq!(get(BOB).name, "bob-example");
        assert_eq!(get(GRACE).standing, Standing::Suspended);
        assert_eq!(get(ZED).name, "zed-example");
        assert_eq!(get(SECRET).standing, Standing::PrivateTeam);
        assert_eq!(get(DEVELOPERS).name, "example-devs");
        assert_eq!(get(SUPERVISORS).name, "example-bugs");
        assert!(
            PEOPLE[..usize::from(ACTORS)]
                .iter()
                .all(|person| !person.is_team())
        );
        assert!(PEOPLE[usize::from(ACTORS)..].iter().all(Person::is_team));
        assert!(PEOPLE.iter().all(|person| person.name.contains("example")));
    }
}
