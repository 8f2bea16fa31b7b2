package query_test

import (
	"context"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"

	"github.com/tidemill/tidemill/processor/serde"
	"github.com/tidemill/tidemill/runtime/query"
	"github.com/tidemill/tidemill/state"
)

type Person struct {
	Name string `json:"name"`
	Age  int    `json:"age"`
}

var people = state.KeyValue("people", serde.String, serde.JSON[Person]())

// A backend is an application that runs; here one with a few rows.
func Example() {
	backend := query.NewExampleBackend()

	person, answer, ok, err := query.Get(context.Background(), backend, people, "ada")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(person.Age, ok, answer.Position)

	server := httptest.NewServer(query.Guard(query.NewHandler(backend, query.Options{}), query.GuardOptions{Loopback: true}))
	defer server.Close()
	resp, err := http.Get(server.URL + "/v1/stores/people/scan?limit=2")
	if err != nil {
		log.Fatal(err)
	}
	defer resp.Body.Close()
	fmt.Println(resp.Header.Get("Position"))
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		log.Fatal(err)
	}
	// Output:
	// 33 true map[2:map[visits:102]]
	// {"0":{"visits":100},"1":{"visits":101},"2":{"visits":102}}
}
