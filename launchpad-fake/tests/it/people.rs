//! People, teams and targets.

use launchpad_fake::{SAMPLE_MEMBER, landmarks};
use serde_json::Value;

use crate::support::Server;

#[tokio::test]
async fn people_have_zones_or_none_and_teams_have_members() {
    let server = Server::sample().await;
    let member = server.json(&format!("devel/~{SAMPLE_MEMBER}")).await;
    assert_eq!(member["time_zone"], "Europe/Lisbon");
    assert_eq!(member["is_team"], false);
    assert_eq!(member["id"], "tag:launchpad.net:2008:redacted");
    assert_eq!(
        server.json("devel/~frank-example").await["time_zone"],
        Value::Null
    );
    assert_eq!(
        server.json("devel/~carol-example").await["time_zone"],
        "Asia/Kolkata"
    );
    let team = server.json("devel/~example-devs").await;
    assert_eq!(team["is_team"], true);
    assert!(
        team["resource_type_link"]
            .as_str()
            .unwrap()
            .ends_with("#team")
    );
    let members = server
        .walk(team["members_collection_link"].as_str().unwrap())
        .await;
    let details = server
        .walk(team["members_details_collection_link"].as_str().unwrap())
        .await;
    assert_eq!(members.len(), details.len());
    assert!(members.len() > 20);
    for (member, detail) in members.iter().zip(&details) {
        assert_eq!(detail["member_link"], member["self_link"]);
        assert_eq!(detail["team_link"], team["self_link"]);
        assert_eq!(
            detail.get("name"),
            None,
            "a membership has no name of its own"
        );
    }
    let old = server.json("1.0/~example-devs").await;
    assert_eq!(
        (old.get("latitude"), old.get("account_status")),
        (Some(&Value::Null), None)
    );
}

#[tokio::test]
async fn names_lead_to_their_canonical_form_and_suspended_accounts_nowhere() {
    let server = Server::sample().await;
    for (path, location) in [
        ("devel/~Ada-Example", "devel/~ada-example"),
        ("devel/~heidi-old-example", "devel/~heidi-example"),
        (
            "1.0/~HEIDI-old-example?ws.op=searchTasks&status=New",
            "1.0/~heidi-example?ws.op=searchTasks&status=New",
        ),
        ("devel/~Example-Devs/members", "devel/~example-devs/members"),
    ] {
        let reply = server.get(path).await;
        assert_eq!(reply.status, 301, "{path}");
        assert_eq!(reply.header("location"), server.url(location));
        assert_eq!(server.get(location).await.status, 200);
    }
    assert_eq!(server.get("devel/~Nobody").await.status, 404);
    let expected = (410, "User is suspended: ~grace-example".to_owned());
    assert_eq!(server.refusal("devel/~grace-example").await, expected);
    assert_eq!(
        server
            .refusal("devel/~grace-example?ws.op=searchTasks")
            .await,
        expected
    );
    assert_eq!(server.refusal("devel/people/+me").await.0, 401);
}

#[tokio::test]
async fn people_are_found_by_address_and_name() {
    let server = Server::sample().await;
    let bob = server
        .json("devel/people?ws.op=getByEmail&email=bob-example@example.org")
        .await;
    assert_eq!(bob["name"], "bob-example");
    assert_eq!(
        server
            .json("devel/people?ws.op=getByEmail&email=x@example.org")
            .await,
        Value::Null
    );
    let names = |page: Value| -> Vec<String> {
        page["entries"]
            .as_array()
            .unwrap()
            .iter()
            .map(|entry| entry["name"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(
        names(
            server
                .json("devel/people?ws.op=findTeam&text=example")
                .await
        ),
        ["example-devs", "example-bugs"]
    );
    assert_eq!(
        names(
            server
                .json("devel/people?ws.op=findPerson&text=Carol")
                .await
        ),
        ["carol-example"]
    );
    let found = names(server.json("devel/people?ws.op=find&text=be").await);
    assert!(found.contains(&"bela-example".to_owned()), "{found:?}");
    let later = server
        .json("devel/people?ws.op=findPerson&text=example&created_after=2009-01-01")
        .await;
    let earlier = server
        .json("devel/people?ws.op=findPerson&text=example&created_before=2009-01-01")
        .await;
    assert_eq!(names(later).len() + names(earlier).len(), 39);
}

#[tokio::test]
async fn a_link_to_a_private_team_is_redacted() {
    let server = Server::sample().await;
    let tasks = server
        .walk(&format!(
            "devel/bugs/{}/bug_tasks",
            landmarks::REDACTED_ASSIGNEE
        ))
        .await;
    assert_eq!(tasks[0]["assignee_link"], "tag:launchpad.net:2008:redacted");
}

#[tokio::test]
async fn targets_and_collections_of_them_are_served() {
    let server = Server::sample().await;
    let root = server.json("devel/").await;
    assert_eq!(
        root["resource_type_link"],
        format!("{}devel/#service-root", server.fake.root())
    );
    for name in ["people", "bugs", "projects", "distributions"] {
        let link = root[format!("{name}_collection_link")].as_str().unwrap();
        let page = server.json(link).await;
        assert!(page["total_size"].as_u64().unwrap() > 0, "{name}");
        assert!(page["entries"][0]["self_link"].is_string(), "{name}");
    }
    assert_eq!(
        server.json("devel/exampleproj").await["name"],
        "exampleproj"
    );
    let package = server.json("devel/exampledistro/+source/examplepkg").await;
    assert!(
        package["distribution_link"]
            .as_str()
            .unwrap()
            .ends_with("/devel/exampledistro")
    );
}
