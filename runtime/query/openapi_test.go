package query

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/tidemill/tidemill/changelog/commitlog"
)

type object = map[string]any

func loadAPI(t *testing.T) object {
	t.Helper()
	var api object
	if err := json.Unmarshal(openAPIJSON, &api); err != nil {
		t.Fatal(err)
	}
	return api
}

// at follows names into a document; a missing one gives nil.
func at(v any, names ...string) any {
	for _, name := range names {
		o, ok := v.(object)
		if !ok {
			return nil
		}
		v = o[name]
	}
	return v
}

func TestOpenAPIHasTheRoutes(t *testing.T) {
	api := loadAPI(t)
	documented := map[string]bool{}
	for path, methods := range api["paths"].(object) {
		for method := range methods.(object) {
			documented[strings.ToUpper(method)+" "+path] = true
		}
	}
	for _, rt := range newHandler(newFake(), Options{}).routes() {
		path := strings.TrimSuffix(rt.path, "{$}")
		name := rt.method + " " + path
		if !documented[name] {
			t.Errorf("%s is not documented", name)
		}
		delete(documented, name)
		var inQuery []string
		operation := at(api, "paths", path, strings.ToLower(rt.method))
		params, _ := at(operation, "parameters").([]any)
		for _, p := range params {
			if at(p, "in") == "query" {
				inQuery = append(inQuery, at(p, "name").(string))
			}
		}
		if !slices.Equal(sortedStrings(inQuery), sortedStrings(rt.params)) {
			t.Errorf("%s documents parameters %v and takes %v", name, inQuery, rt.params)
		}
		if secured := at(operation, "security") != nil; secured != (rt.method != "GET") {
			t.Errorf("%s: documented as needing a token: %v", name, secured)
		}
	}
	for name := range documented {
		t.Errorf("%s is documented and not served", name)
	}
}

// TestOpenAPIHasTheAnswers compares the schemas with real answers in both
// directions: a field that is not documented, and a documented one that no answer
// has, are both errors.
func TestOpenAPIHasTheAnswers(t *testing.T) {
	check := schemaCheck{t: t, api: loadAPI(t), documented: map[string]bool{}, seen: map[string]bool{}}
	eachRoute(t, func(t *testing.T, rt route, s sample) {
		f := filled(t)
		f.health.Reason = []string{"catching up"}
		check.answer(t, rt, s, f)
	})
	// Problems with fields that no sample has.
	f := filled(t)
	f.log.start = 7
	check.answer(t, route{method: "GET", path: "/v1/topics/{t}/records"}, sample{path: "/v1/topics/visits/records?offset=3", status: 410}, f)
	for p := range int32(fakePartitions) {
		f.inactive[p] = ErrNotActive
	}
	f.health.Tasks[0].State = "restoring"
	check.answer(t, route{method: "GET", path: "/v1/stores/{s}/key"}, sample{path: "/v1/stores/people/key?key=ada", status: 503}, f)
	nullHeader(f)
	check.answer(t, route{method: "GET", path: "/v1/topics/{t}/records"}, sample{path: "/v1/topics/raw/records"}, f)
	for field := range check.documented {
		if !check.seen[field] {
			t.Errorf("%s is documented, and no answer has it", field)
		}
	}
}

func nullHeader(f *fake) {
	f.log.headerValue = nil
	f.log.append(commitlog.TopicPartition{Topic: "raw"}, Produced{})
}

type schemaCheck struct {
	t                *testing.T
	api              object
	documented, seen map[string]bool
}

func (c *schemaCheck) answer(t *testing.T, rt route, s sample, f *fake) {
	t.Helper()
	w := do(guarded(f, true), rt.method, s.path, s.body, bearer(plantedToken))
	status := max(s.status, 200)
	responses := at(c.api, "paths", strings.TrimSuffix(rt.path, "{$}"), strings.ToLower(rt.method), "responses")
	content, ok := at(responses, fmt.Sprint(status), "content").(object)
	if w.Code != status || !ok {
		t.Fatalf("%s %s answers %d %s; documented: %v", rt.method, s.path, w.Code, w.Body, ok)
	}
	mediaType, _, _ := strings.Cut(w.Header().Get("Content-Type"), ";")
	media, ok := content[mediaType]
	if !ok && rt.path != "/metrics" {
		t.Fatalf("%s %s answers %s, documented is %v", rt.method, s.path, mediaType, content)
	}
	if !strings.HasSuffix(mediaType, "json") {
		return
	}
	var body any
	if err := json.Unmarshal(w.Body.Bytes(), &body); err != nil {
		t.Fatalf("%s %s: %v in %s", rt.method, s.path, err, w.Body)
	}
	c.value(t, at(media, "schema"), rt.path+" "+fmt.Sprint(status), body)
}

// value checks one value against its schema. where names it.
func (c *schemaCheck) value(t *testing.T, schema any, where string, v any) {
	t.Helper()
	if name, ok := at(schema, "$ref").(string); ok {
		name = strings.TrimPrefix(name, "#/components/schemas/")
		schema, where = at(c.api, "components", "schemas", name), name
		if schema == nil {
			t.Errorf("schema %s is missing", name)
		}
	}
	kind, _ := at(schema, "type").(string)
	good := true
	switch v := v.(type) {
	case object:
		good = kind == "object" || kind == ""
		if kind == "object" {
			c.object(t, schema, where, v)
		}
	case []any:
		good = kind == "array" || kind == ""
		for _, item := range v {
			c.value(t, at(schema, "items"), where+"[]", item)
		}
	case string:
		good = kind == "string" || kind == ""
	case bool:
		good = kind == "boolean" || kind == ""
	case float64:
		good = kind == "number" || kind == "" || kind == "integer" && v == math.Trunc(v)
	}
	if !good {
		t.Errorf("%s is %v, documented as %s", where, v, kind)
	}
}

func (c *schemaCheck) object(t *testing.T, schema any, where string, v object) {
	t.Helper()
	if extra := at(schema, "additionalProperties"); extra != nil {
		for _, item := range v {
			c.value(t, extra, where+".*", item)
		}
		return
	}
	properties, ok := at(schema, "properties").(object)
	if !ok {
		return // any object
	}
	for name := range properties {
		c.documented[where+"."+name] = true
	}
	required, _ := at(schema, "required").([]any)
	for _, name := range required {
		if _, ok := v[name.(string)]; !ok {
			t.Errorf("%s has no %s, which is documented as required", where, name)
		}
	}
	for name, item := range v {
		if _, ok := properties[name]; !ok {
			t.Errorf("%s.%s is not documented", where, name)
			continue
		}
		c.seen[where+"."+name] = true
		c.value(t, properties[name], where+"."+name, item)
	}
}
