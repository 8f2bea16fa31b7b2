package serde_test

import (
	"bytes"
	"fmt"
	"slices"
	"time"

	"github.com/tidemill/tidemill/processor"
	"github.com/tidemill/tidemill/processor/serde"
)

func ExampleJSON() {
	type Reading struct {
		Meter string  `json:"meter"`
		KWh   float64 `json:"kwh"`
	}
	readings := serde.JSON[Reading]()
	encoded, err := readings.Append(nil, Reading{Meter: "m17", KWh: 2.5})
	fmt.Printf("%s %v\n", encoded, err)

	_, err = readings.Decode([]byte("null"))
	fmt.Println(err)
	// Output:
	// {"meter":"m17","kwh":2.5} <nil>
	// serde json: null, but the type is never null (see serde.Nullable)
}

func ExampleNullable() {
	prices := serde.Nullable(serde.Float64)
	price, _ := prices.Decode([]byte{0x40, 0x04, 0, 0, 0, 0, 0, 0})
	deleted, _ := prices.Decode(nil)
	fmt.Println(price, deleted, serde.IsNullable(prices))

	_, err := prices.Append(nil, processor.None[float64]())
	fmt.Println(err)
	// Output:
	// 2.5 null true
	// serde float64: append called for null, which has no bytes: write a null key or value instead
}

func ExampleTimeWindowed() {
	hourly := serde.TimeWindowed(serde.String, time.Hour)
	key := processor.Windowed[string]{Key: "m17", Start: 7_200_000, End: 10_800_000}
	encoded, _ := hourly.Append(nil, key)
	fmt.Printf("%s: %x\n", hourly.Name(), encoded)

	shown, _ := hourly.(serde.Transcoder).AppendJSON(nil, encoded)
	fmt.Println(string(shown))
	fmt.Printf("placed by %s\n", hourly.(serde.Partitioned).PartitionKey(encoded))
	// Output:
	// time-windowed(string,1h0m0s): 6d313700000000006ddd00
	// {"key":"m17","start":"1970-01-01T02:00:00.000Z","end":"1970-01-01T03:00:00.000Z"}
	// placed by m17
}

func ExampleSessionWindowed() {
	visits := serde.SessionWindowed(serde.String)
	encoded, _ := visits.Append(nil, processor.Windowed[string]{Key: "eve", Start: 1, End: 2})
	fmt.Printf("%s: %x\n", visits.Name(), encoded)
	// Output:
	// session-windowed(string): 65766500000000000000020000000000000001
}

// All orders of a customer lie together, by number.
func ExampleTuple() {
	orders := serde.Tuple(serde.String, serde.OrderedInt64)
	var rows [][]byte
	for _, order := range []serde.Tuple2[string, int64]{{First: "eve", Second: 7}, {First: "bob", Second: 12}, {First: "eve", Second: -3}, {First: "bobby", Second: 1}} {
		row, _ := orders.Append(nil, order)
		rows = append(rows, row)
	}
	slices.SortFunc(rows, bytes.Compare) // as a store does

	prefix, _ := orders.AppendPrefix(nil, "bob")
	for _, row := range rows {
		order, _ := orders.Decode(row)
		fmt.Println(order, bytes.HasPrefix(row, prefix))
	}
	// Output:
	// (bob, 12) true
	// (bobby, 1) false
	// (eve, -3) false
	// (eve, 7) false
}
