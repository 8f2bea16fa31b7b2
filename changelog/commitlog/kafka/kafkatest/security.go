package kafkatest

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
)

// Security adds the listeners ListenerSSL, ListenerMutual and ListenerSASL, with
// certificates made for this broker, beside the PLAINTEXT one.
type Security struct {
	// Users maps names to passwords for ListenerSASL. The passwords of SCRAM are
	// stored when Options.Dir is used first, and stay what they were then.
	// Default: alice, with the password alice-secret.
	Users map[string]string
	// Authorize refuses everything to users that no ACL allows it to. Clients of
	// the PLAINTEXT and SSL listeners, which are anonymous, may do everything, so
	// that a test can set ACLs.
	Authorize bool
}

func (s Security) withDefaults() Security {
	if len(s.Users) == 0 {
		s.Users = map[string]string{"alice": "alice-secret"}
	}
	return s
}

// plainWord is what needs no quoting in a JAAS line, in a properties file and in
// an argument of the storage tool.
var plainWord = regexp.MustCompile(`^[A-Za-z0-9._~!@#%^*+:/?-]+$`)

func (s Security) check() error {
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(s.Users)) {
		if !plainWord.MatchString(name) || !plainWord.MatchString(s.Users[name]) {
			errs = append(errs, fmt.Errorf("user %q: name and password must be letters, digits and ._~!@#%%^*+:/?- only", name))
		}
	}
	return errors.Join(errs...)
}

var scramMechanisms = []string{"SCRAM-SHA-256", "SCRAM-SHA-512"}

func (s Security) properties(c *Certificates) map[string]string {
	p := map[string]string{
		"ssl.keystore.type": "PEM", "ssl.keystore.location": c.serverFile,
		"ssl.truststore.type": "PEM", "ssl.truststore.location": c.CAFile,
		"listener.name.mtls.ssl.client.auth": "required",
		"sasl.enabled.mechanisms":            strings.Join(append([]string{"PLAIN"}, scramMechanisms...), ","),
	}
	plain := "org.apache.kafka.common.security.plain.PlainLoginModule required"
	for _, name := range slices.Sorted(maps.Keys(s.Users)) {
		plain += fmt.Sprintf(` user_%s="%s"`, name, s.Users[name])
	}
	const listener = "listener.name.sasl_ssl."
	p[listener+"plain.sasl.jaas.config"] = plain + ";"
	for _, mechanism := range scramMechanisms {
		p[listener+strings.ToLower(mechanism)+".sasl.jaas.config"] = "org.apache.kafka.common.security.scram.ScramLoginModule required;"
	}
	if s.Authorize {
		p["authorizer.class.name"] = "org.apache.kafka.metadata.authorizer.StandardAuthorizer"
		p["super.users"] = "User:ANONYMOUS"
	}
	return p
}

// formatArguments store the users' passwords for SCRAM.
func (s Security) formatArguments() (args []string) {
	for _, name := range slices.Sorted(maps.Keys(s.Users)) {
		for _, mechanism := range scramMechanisms {
			args = append(args, "--add-scram", fmt.Sprintf("%s=[name=%s,password=%s]", mechanism, name, s.Users[name]))
		}
	}
	return args
}
