//! The description of the service (WADL), generated from [`crate::keys`] and [`crate::operations`].
//!
//! It says what the fake serves, no more: enough for launchpadlib, which reads it before anything else.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use crate::keys::{ENTRY_TYPES, EntryType, Holds};
use crate::links::Links;
use crate::operations::{self, Operation, Takes};

/// The media type of the description.
pub(crate) const MEDIA_TYPE: &str = "application/vnd.sun.wadl+xml";

/// The top-level collections: link name, resource type, type of the entries.
pub(crate) const COLLECTIONS: [(&str, &str, &str); 4] = [
    ("bugs_collection_link", "bugs", "bug"),
    (
        "distributions_collection_link",
        "distributions",
        "distribution",
    ),
    ("people_collection_link", "people", "person"),
    ("projects_collection_link", "projects", "project"),
];

const HEAD: &str = r##"<?xml version="1.0"?>
<wadl:application xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xmlns="http://research.sun.com/wadl/2006/10" xmlns:xsd="http://www.w3.org/2001/XMLSchema" xmlns:wadl="http://research.sun.com/wadl/2006/10" xsi:schemaLocation="http://research.sun.com/wadl/2006/10/wadl.xsd">
"##;

const TAIL: &str = r#"<wadl:resource_type id="HostedFile">
<wadl:method name="GET" id="HostedFile-get"><wadl:response><wadl:representation status="303"><wadl:param style="header" name="Location"/></wadl:representation></wadl:response></wadl:method>
</wadl:resource_type>
<wadl:resource_type id="ScalarValue">
<wadl:method name="GET" id="ScalarValue-get"><wadl:response><wadl:representation mediaType="application/json"/></wadl:response></wadl:method>
</wadl:resource_type>
<xsd:simpleType name="binary"><xsd:list itemType="byte"/></xsd:simpleType>
</wadl:application>
"#;

/// The whole document for the version and host of `links`.
pub(crate) fn document(links: &Links) -> String {
    let mut out = String::with_capacity(256 * 1024);
    out.push_str(HEAD);
    let root = links.root();
    push(
        &mut out,
        format_args!(
            "<wadl:doc xmlns=\"http://www.w3.org/1999/xhtml\" title=\"About this service\">A stand-in for the Launchpad web service with invented data.</wadl:doc>\n\
             <wadl:resources base=\"{root}/\"><wadl:resource path=\"\" type=\"#service-root\"/></wadl:resources>\n\
             <wadl:resource_type id=\"service-root\"><wadl:method name=\"GET\" id=\"service-root-get\"><wadl:response>\
             <wadl:representation href=\"#service-root-json\"/><wadl:representation mediaType=\"{MEDIA_TYPE}\" id=\"service-root-wadl\"/>\
             </wadl:response></wadl:method></wadl:resource_type>\n\
             <wadl:representation mediaType=\"application/json\" id=\"service-root-json\">\n"
        ),
    );
    for (link, resource_type, _) in COLLECTIONS {
        param(
            &mut out,
            link,
            None,
            Some(&links.resource_type(resource_type)),
        );
    }
    param(
        &mut out,
        "me_link",
        None,
        Some(&links.resource_type("person")),
    );
    param(&mut out, "resource_type_link", None, None);
    out.push_str("</wadl:representation>\n");

    for (_, resource_type, of) in COLLECTIONS {
        let answer = format!("{of}-page");
        resource(
            &mut out,
            links,
            resource_type,
            &answer,
            operations::of(resource_type),
        );
    }
    for entry_type in ENTRY_TYPES {
        let full = format!("{}-full", entry_type.name);
        resource(
            &mut out,
            links,
            entry_type.name,
            &full,
            operations::of(entry_type.name),
        );
        representation(&mut out, links, entry_type);
        page(&mut out, links, entry_type.name);
    }
    for name in merely_linked() {
        let bare = EntryType { name, keys: &[] };
        resource(&mut out, links, name, &format!("{name}-full"), &[]);
        representation(&mut out, links, &bare);
        page(&mut out, links, name);
    }
    out.push_str(TAIL);
    out
}

/// The types that keys link to but the fake does not serve: a client may hold such a link, and
/// following it is a 404.
fn merely_linked() -> BTreeSet<&'static str> {
    let served: BTreeSet<_> = ENTRY_TYPES
        .iter()
        .map(|entry_type| entry_type.name)
        .collect();
    ENTRY_TYPES
        .iter()
        .flat_map(|entry_type| entry_type.keys)
        .filter_map(|key| match key.holds {
            Holds::Link(to) | Holds::Collection(to) => Some(to),
            Holds::Plain | Holds::Integer | Holds::DateTime | Holds::File => None,
        })
        .filter(|name| !served.contains(name))
        .collect()
}

fn push(out: &mut String, text: std::fmt::Arguments<'_>) {
    // Writing to a String cannot fail.
    let _ = out.write_fmt(text);
}

fn resource(out: &mut String, links: &Links, name: &str, answer: &str, operations: &[Operation]) {
    let href = links.resource_type(answer);
    push(
        out,
        format_args!(
            "<wadl:resource_type id=\"{name}\">\n<wadl:method name=\"GET\" id=\"{name}-get\"><wadl:response>\
             <wadl:representation href=\"{href}\"/><wadl:representation mediaType=\"{MEDIA_TYPE}\" id=\"{name}-wadl\"/>\
             </wadl:response></wadl:method>\n"
        ),
    );
    for operation in operations {
        push(
            out,
            format_args!(
                "<wadl:method id=\"{name}-{op}\" name=\"GET\"><wadl:request>\
                 <wadl:param style=\"query\" name=\"ws.op\" required=\"true\" fixed=\"{op}\"/>\n",
                op = operation.name
            ),
        );
        for parameter in operation.parameters {
            let kind = if matches!(parameter.takes, Takes::DateTime) {
                " type=\"xsd:dateTime\""
            } else {
                ""
            };
            push(
                out,
                format_args!(
                    "<wadl:param style=\"query\" name=\"{}\" required=\"{}\"{kind}>",
                    parameter.name, parameter.required
                ),
            );
            match parameter.takes {
                Takes::Any | Takes::DateTime => {}
                Takes::Link(to) => {
                    push(
                        out,
                        format_args!("<wadl:link resource_type=\"{}\"/>", links.resource_type(to)),
                    );
                }
                Takes::Choice(words) => {
                    for word in words {
                        push(out, format_args!("<wadl:option value=\"{word}\"/>"));
                    }
                }
            }
            out.push_str("</wadl:param>\n");
        }
        push(
            out,
            format_args!(
                "</wadl:request><wadl:response><wadl:representation href=\"{}\"/></wadl:response></wadl:method>\n",
                links.resource_type(operation.answer)
            ),
        );
    }
    out.push_str("</wadl:resource_type>\n");
}

fn representation(out: &mut String, links: &Links, entry_type: &EntryType) {
    push(
        out,
        format_args!(
            "<wadl:representation mediaType=\"application/json\" id=\"{}-full\">\n",
            entry_type.name
        ),
    );
    param(
        out,
        "self_link",
        None,
        Some(&links.resource_type(entry_type.name)),
    );
    // The three below are links or texts that nothing in this document describes.
    param(out, "web_link", None, None);
    param(out, "resource_type_link", None, None);
    param(out, "http_etag", None, None);
    for key in entry_type
        .keys
        .iter()
        .filter(|key| key.is_in(links.version()))
    {
        match key.holds {
            Holds::Plain => param(out, key.name, None, None),
            Holds::Integer => param(out, key.name, Some("int"), None),
            Holds::DateTime => param(out, key.name, Some("xsd:dateTime"), None),
            Holds::Link(to) => param(out, key.name, None, Some(&links.resource_type(to))),
            Holds::Collection(of) => {
                param(
                    out,
                    key.name,
                    None,
                    Some(&links.resource_type(&format!("{of}-page-resource"))),
                );
            }
            Holds::File => param(
                out,
                key.name,
                Some("binary"),
                Some(&links.resource_type("HostedFile")),
            ),
        }
    }
    out.push_str("</wadl:representation>\n");
}

fn page(out: &mut String, links: &Links, name: &str) {
    let page_resource = links.resource_type(&format!("{name}-page-resource"));
    push(
        out,
        format_args!(
            "<wadl:resource_type id=\"{name}-page-resource\"><wadl:method name=\"GET\" id=\"{name}-page-resource-get\">\
             <wadl:response><wadl:representation href=\"{}\"/></wadl:response></wadl:method></wadl:resource_type>\n\
             <wadl:representation mediaType=\"application/json\" id=\"{name}-page\">\n",
            links.resource_type(&format!("{name}-page"))
        ),
    );
    param(out, "resource_type_link", None, None);
    param(out, "total_size", None, None);
    param(
        out,
        "total_size_link",
        None,
        Some(&links.resource_type("ScalarValue")),
    );
    param(out, "start", None, None);
    param(out, "next_collection_link", None, Some(&page_resource));
    param(out, "prev_collection_link", None, Some(&page_resource));
    param(out, "entries", None, None);
    push(
        out,
        format_args!(
            "<wadl:param style=\"plain\" name=\"entry_links\" path=\"$['entries'][*]['self_link']\"><wadl:link resource_type=\"{}\"/></wadl:param>\n\
             </wadl:representation>\n",
            links.resource_type(name)
        ),
    );
}

fn param(out: &mut String, name: &str, kind: Option<&str>, to: Option<&str>) {
    push(
        out,
        format_args!("<wadl:param style=\"plain\" name=\"{name}\" path=\"$['{name}']\""),
    );
    if let Some(kind) = kind {
        push(out, format_args!(" type=\"{kind}\""));
    }
    match to {
        Some(to) => push(
            out,
            format_args!("><wadl:link resource_type=\"{to}\"/></wadl:param>\n"),
        ),
        None => out.push_str("/>\n"),
    }
}
