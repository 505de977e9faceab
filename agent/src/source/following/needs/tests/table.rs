use multicluster_api::references::Optional;

use super::*;

fn pod(uid: &str, labels: &[(&str, &str)]) -> PodFacts {
    PodFacts {
        uid: uid.into(),
        namespace: "n".into(),
        labels: Arc::new(labels.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect()),
        no_prefix: None,
        references: Arc::default(),
        node: None,
        ready: false,
    }
}

fn using(mut pod: PodFacts, config_maps: &[&str], secrets: &[&str]) -> PodFacts {
    let names = |names: &[&str]| names.iter().map(|name| ((*name).into(), Optional(false))).collect();
    pod.references = Arc::new(References {
        config_maps: names(config_maps),
        secrets: names(secrets),
    });
    pod
}

fn ready_on(mut pod: PodFacts, node: &str) -> PodFacts {
    pod.node = Some(node.into());
    pod.ready = true;
    pod
}

fn key(kind: Kind, name: &str) -> ObjectKey {
    ObjectKey::new(kind, "n", name)
}

fn service(name: &str, selector: &[(&str, &str)]) -> ServiceFacts {
    ServiceFacts {
        key: key(Kind::Service, name),
        selector: selector.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect(),
    }
}

fn ingress(name: &str, services: &[&str], secrets: &[&str]) -> RouteFacts {
    RouteFacts {
        key: key(Kind::Ingress, name),
        services: services.iter().map(|name| (*name).into()).collect(),
        secrets: secrets.iter().map(|name| (*name).into()).collect(),
    }
}

fn nodes(needs: &Needs, key: &ObjectKey) -> Vec<String> {
    needs.nodes(key).iter().map(|node| node.to_string()).collect()
}

fn ready(needs: &Needs, key: &ObjectKey) -> Vec<(String, u32)> {
    let ready = needs.ready(key);
    ready.iter().map(|(node, count)| (node.to_string(), *count)).collect()
}

#[test]
fn what_a_pod_uses_is_needed_where_it_is_about_to_be() {
    let mut needs = Needs::default();
    let (map, secret) = (key(Kind::ConfigMap, "m"), key(Kind::Secret, "s"));
    needs.put_pod(using(pod("1", &[]), &["m"], &["s"]));
    assert!(
        needs.has_proxy_pods(&map) && nodes(&needs, &map).is_empty(),
        "it is nowhere yet"
    );
    let touched = needs.place_pod("1", &"eu".into(), true);
    assert_eq!(touched, Touched::from([map.clone(), secret.clone()]));
    assert!(needs.is_needed_in(&map, "eu") && needs.is_needed_in(&secret, "eu") && !needs.is_needed_in(&map, "us"));
    // It is bound there, and then there is no news.
    assert!(
        needs
            .put_pod(ready_on(using(pod("1", &[]), &["m"], &["s"]), "eu"))
            .len()
            <= 2
    );
    needs.place_pod("1", &"eu".into(), false);
    assert!(needs.is_needed_in(&map, "eu"), "bound");
    assert_eq!(needs.remove_pod("1"), Touched::from([map.clone(), secret]));
    assert!(!needs.is_needed_in(&map, "eu") && !needs.has_proxy_pods(&map));
}

#[test]
fn a_chaperon_may_be_known_before_its_pod_and_after_it() {
    let mut needs = Needs::default();
    assert!(needs.place_pod("1", &"eu".into(), true).is_empty());
    let map = key(Kind::ConfigMap, "m");
    assert!(needs.put_pod(using(pod("1", &[]), &["m"], &[])).contains(&map));
    assert_eq!(nodes(&needs, &map), ["eu"]);
    needs.remove_pod("1");
    assert!(nodes(&needs, &map).is_empty());
    assert!(needs.place_pod("1", &"eu".into(), false).is_empty());
    assert!(
        needs.pods.is_empty() && needs.namespaces.is_empty() && needs.tallies.is_empty(),
        "{needs:?}"
    );
}

#[test]
fn a_pod_more_where_others_are_touches_no_file() {
    let mut needs = Needs::default();
    let map = key(Kind::ConfigMap, "m");
    for uid in ["1", "2", "3"] {
        needs.put_pod(using(pod(uid, &[]), &["m"], &[]));
    }
    assert!(needs.place_pod("1", &"eu".into(), true).contains(&map));
    assert!(needs.place_pod("2", &"eu".into(), true).is_empty());
    assert!(needs.place_pod("3", &"us".into(), true).contains(&map));
    assert!(needs.remove_pod("2").is_empty() && needs.put_pod(using(pod("4", &[]), &["m"], &[])).is_empty());
    assert!(needs.place_pod("1", &"eu".into(), false).contains(&map));
    assert_eq!(nodes(&needs, &map), ["us"]);
}

#[test]
fn services_follow_what_they_select_and_routes_follow_services() {
    let mut needs = Needs::default();
    let (web, site) = (key(Kind::Service, "web"), key(Kind::Ingress, "site"));
    let tls = key(Kind::Secret, "tls");
    assert!(
        needs.put_route(ingress("site", &["web", "api"], &["tls"])).is_empty(),
        "nobody is behind it"
    );
    assert!(needs.put_service(service("web", &[("app", "web")])).is_empty());
    needs.put_service(service("api", &[("app", "web"), ("tier", "1")]));
    let one = pod("1", &[("app", "web"), ("tier", "1")]);
    let api = key(Kind::Service, "api");
    let all = Touched::from([web.clone(), api, site.clone(), tls.clone()]);
    assert_eq!(needs.put_pod(ready_on(one.clone(), "eu")), all);
    assert_eq!(
        ready(&needs, &site),
        [("eu".into(), 1)],
        "a pod behind two Services counts once"
    );
    assert_eq!(
        (nodes(&needs, &tls), needs.ready(&tls)),
        (vec!["eu".to_owned()], BTreeMap::new())
    );
    // Readiness is no matter of the Secret.
    let mut unready = ready_on(one, "eu");
    unready.ready = false;
    let touched = needs.put_pod(unready);
    assert!(touched.contains(&site) && touched.contains(&web) && !touched.contains(&tls));
    assert!(ready(&needs, &site).is_empty() && nodes(&needs, &site) == ["eu"]);
    // The Service selects others now.
    let touched = needs.put_service(service("web", &[("app", "other")]));
    assert_eq!(
        touched,
        Touched::from([web.clone()]),
        "the other Service still leads the route there"
    );
    assert!(!needs.has_proxy_pods(&web) && needs.has_proxy_pods(&site));
    // The route leads elsewhere.
    let touched = needs.put_route(ingress("site", &["web"], &["tls"]));
    assert_eq!(touched, Touched::from([site.clone(), tls.clone()]));
    assert!(!needs.has_proxy_pods(&tls));
}

#[test]
fn a_secret_that_a_route_names_no_more_is_touched() {
    let mut needs = Needs::default();
    needs.put_service(service("web", &[("app", "web")]));
    needs.put_route(ingress("site", &["web"], &["old"]));
    needs.put_pod(ready_on(pod("1", &[("app", "web")]), "eu"));
    let (old, new) = (key(Kind::Secret, "old"), key(Kind::Secret, "new"));
    let touched = needs.put_route(ingress("site", &["web"], &["new"]));
    assert!(touched.contains(&old) && touched.contains(&new));
    assert!(!needs.is_needed_in(&old, "eu") && needs.is_needed_in(&new, "eu"));
    assert!(needs.remove(&key(Kind::Ingress, "site")).contains(&new));
    assert!(!needs.is_needed_in(&new, "eu"));
}

#[test]
fn a_pod_is_ready_where_it_is_bound() {
    let mut needs = Needs::default();
    needs.put_service(service("web", &[("app", "web")]));
    needs.put_pod(ready_on(pod("1", &[("app", "web")]), "eu"));
    needs.place_pod("1", &"us".into(), true);
    let web = key(Kind::Service, "web");
    assert_eq!(nodes(&needs, &web), ["eu", "us"]);
    assert_eq!(ready(&needs, &web), [("eu".into(), 1)]);
}

#[test]
fn labels_that_change_touch_the_service_that_is_rewritten_for_them() {
    let mut needs = Needs::default();
    needs.put_service(service("web", &[("app", "web")]));
    needs.put_pod(pod("1", &[("app", "web")]));
    let touched = needs.put_pod(pod("1", &[("app", "web"), ("a.com/app", "x")]));
    assert!(touched.contains(&key(Kind::Service, "web")));
    let selected: Vec<_> = needs
        .selected(&key(Kind::Service, "web"))
        .map(|pod| pod.labels.len())
        .collect();
    assert_eq!(selected, [2]);
    assert!(
        needs
            .put_pod(pod("1", &[("app", "web"), ("a.com/app", "x")]))
            .is_empty(),
        "the same again"
    );
}

#[test]
fn pods_of_one_workload_share_what_is_equal() {
    let mut needs = Needs::default();
    for uid in ["1", "2"] {
        needs.put_pod(using(pod(uid, &[("app", "web")]), &["m"], &[]));
    }
    let facts = |uid: &str| needs.pods[uid].facts.clone().unwrap();
    assert!(Arc::ptr_eq(&facts("1").labels, &facts("2").labels));
    assert!(Arc::ptr_eq(&facts("1").references, &facts("2").references));
}
