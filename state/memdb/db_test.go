package memdb_test

import (
	"testing"

	"github.com/tidemill/tidemill/state"
	"github.com/tidemill/tidemill/state/memdb"
	"github.com/tidemill/tidemill/state/statetest"
)

func TestConformance(t *testing.T) {
	statetest.Run(t, func(*testing.T) state.Engine { return memdb.New() })
}
