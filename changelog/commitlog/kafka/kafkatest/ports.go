package kafkatest

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
)

// Ports are taken below the range from which Linux gives ports to clients: one
// of those could be given away while the broker is down for a restart, even to a
// client that tries to reach the broker and so connects to itself.
const firstPort, lastPort = 15000, 32000

// freePorts finds n ports that nothing listens on. Nothing holds them until the
// broker does; whoever starts it tries again if it finds one taken.
func freePorts(n int) ([]int, error) {
	ports := make([]int, 0, n)
	var last error
	for range 1000 {
		if len(ports) == n {
			return ports, nil
		}
		port := firstPort + rand.IntN(lastPort-firstPort)
		l, err := net.Listen("tcp", local(port))
		if err != nil {
			last = err
			continue
		}
		// It stays open to the end, so that no port is found twice.
		defer l.Close()
		ports = append(ports, port)
	}
	return nil, fmt.Errorf("find a free port from %d to %d: %w", firstPort, lastPort, last)
}

func local(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }

// ErrPortInUse says that the broker cannot have the port that it was given.
var ErrPortInUse = errors.New("the port cannot be used")

// inUse says whether something listens on a port of this machine.
func inUse(port int) error {
	l, err := net.Listen("tcp", local(port))
	if err != nil {
		return fmt.Errorf("port %d of 127.0.0.1: %w: %w", port, ErrPortInUse, err)
	}
	return l.Close()
}
