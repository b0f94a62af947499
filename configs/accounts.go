package configs

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"syscall"

	"go.yaml.in/yaml/v3"
)

// Accounts is the accounts file.
type Accounts struct {
	Tenants  []Tenant  `yaml:"tenants"`
	Accounts []Account `yaml:"accounts"`
}

// Tenant is a customer organisation.
type Tenant struct {
	Name       string   `yaml:"name"`
	Quota      Size     `yaml:"quota,omitempty"`       // bytes it may keep; 0: no quota
	QuotaFiles int64    `yaml:"quota_files,omitempty"` // bundles and unfinished uploads it may keep; 0: no quota
	QuotaDaily Size     `yaml:"quota_daily,omitempty"` // bytes it may send in a day, UTC; 0: no quota
	Retention  Duration `yaml:"retention,omitempty"`   // how long bundles are kept; 0: for ever
	Hold       []string `yaml:"hold,omitempty"`        // directories kept all the same; "/": everything
	Line       int      `yaml:"-"`
}

// Account is a login.
type Account struct {
	Name     string   `yaml:"name"`
	Role     string   `yaml:"role"`             // customer or support
	Tenant   string   `yaml:"tenant,omitempty"` // of a customer
	Tenants  []string `yaml:"tenants,omitempty"`
	Keys     []string `yaml:"keys,omitempty"`     // public key lines
	Password string   `yaml:"password,omitempty"` // argon2id in PHC form
	Expand   bool     `yaml:"expand,omitempty"`

	Require     []string `yaml:"require,omitempty"`      // publickey, password: to be proven in this order
	From        []string `yaml:"from,omitempty"`         // networks that it may log in from
	Expires     Time     `yaml:"expires,omitempty"`      // from then on it may do nothing new
	Disabled    bool     `yaml:"disabled,omitempty"`     // no login
	MaxSessions int      `yaml:"max_sessions,omitempty"` // connections at once; 0: the server's limit
	Bandwidth   Size     `yaml:"bandwidth,omitempty"`    // bytes per second each way; 0: unbounded

	Line int `yaml:"-"` // where it begins in the file
}

// LoadAccounts reads the accounts file. What is wrong with its form is a *KeyError
// with file, line and key; what names and keys mean is not looked at.
func LoadAccounts(path string) (Accounts, error) {
	var a Accounts
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return a, fmt.Errorf("accounts file %s is missing: make it with bundleup account add", path)
	}
	if err != nil {
		return a, fmt.Errorf("read accounts: %w", err)
	}
	return decodeAccounts(path, data)
}

func decodeAccounts(path string, data []byte) (a Accounts, err error) {
	if !decodePlain(data, &a) {
		if a, err = decodeYAML(path, data); err != nil {
			return Accounts{}, err
		}
	}
	for i := range a.Accounts {
		if err := a.Accounts[i].check(); err != nil {
			err.File, err.Line, err.Key = path, a.Accounts[i].Line, fmt.Sprintf("accounts[%d].%s", i, err.Key)
			return Accounts{}, err
		}
	}
	return a, nil
}

// decodeYAML reads the file with the YAML library.
func decodeYAML(path string, data []byte) (a Accounts, err error) {
	root, err := parse(path, data)
	if err != nil || root == nil {
		return a, err
	}
	return a, newDecoder(path).decode(root, reflect.ValueOf(&a).Elem(), "")
}

// check looks at what the form of one account demands.
func (a *Account) check() *KeyError {
	switch {
	case a.Name == "":
		return &KeyError{Key: "name", Err: errors.New("the account has no name")}
	case a.Role != "customer" && a.Role != "support":
		return &KeyError{Key: "role", Err: fmt.Errorf("%q is neither customer nor support", a.Role)}
	}
	return nil
}

// AddAccount writes one more account to the file, and its tenant where that is new.
// The file is made if it is missing; comments and order stay.
func AddAccount(path string, a Account) error {
	return edit(path, func(have Accounts, root *yaml.Node) error {
		if slices.ContainsFunc(have.Accounts, func(b Account) bool { return b.Name == a.Name }) {
			return fmt.Errorf("account %q exists already: remove it first", a.Name)
		}
		known := slices.ContainsFunc(have.Tenants, func(t Tenant) bool { return t.Name == a.Tenant })
		for _, t := range a.Tenants {
			if !slices.ContainsFunc(have.Tenants, func(h Tenant) bool { return h.Name == t }) {
				return fmt.Errorf("tenant %q is not in the file: add an account of it first", t)
			}
		}
		if a.Tenant != "" && !known {
			if err := appendTo(root, "tenants", Tenant{Name: a.Tenant}); err != nil {
				return err
			}
		}
		return appendTo(root, "accounts", a)
	})
}

// RemoveAccount takes an account out of the file. Its tenant stays.
func RemoveAccount(path, name string) error {
	return edit(path, func(have Accounts, root *yaml.Node) error {
		at := slices.IndexFunc(have.Accounts, func(a Account) bool { return a.Name == name })
		if at < 0 {
			return fmt.Errorf("there is no account %q", name)
		}
		list := child(root, "accounts")
		list.Content = slices.Delete(list.Content, at, at+1)
		return nil
	})
}

// edit changes the file under a lock, as a whole: readers see the old one or the
// new one. A link is followed, so that it stays one.
func edit(path string, change func(have Accounts, root *yaml.Node) error) error {
	if real, err := filepath.EvalSymlinks(path); err == nil {
		path = real
	}
	unlock, err := lockDirectory(filepath.Dir(path))
	if err != nil {
		return fmt.Errorf("lock accounts: %w", err)
	}
	defer unlock()
	data, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("read accounts: %w", err)
	}
	have, err := decodeAccounts(path, data)
	if err != nil {
		return err
	}
	doc, err := parseDocument(path, data)
	if err != nil {
		return err
	}
	head := []byte(nil)
	if doc.Kind == 0 || doc.Content[0].Kind != yaml.MappingNode {
		head = data // nothing but comments
		doc = &yaml.Node{Kind: yaml.DocumentNode, Content: []*yaml.Node{{Kind: yaml.MappingNode, Tag: "!!map"}}}
	}
	if err := change(have, doc.Content[0]); err != nil {
		return err
	}
	out, err := encode(path, head, doc)
	if err != nil {
		return err
	}
	return replaceFile(path, out)
}

// encode writes the document behind head, and reads it again: what cannot be read
// back must not replace a file that can.
func encode(path string, head []byte, doc *yaml.Node) ([]byte, error) {
	out := bytes.NewBuffer(head)
	if len(head) > 0 && !bytes.HasSuffix(head, []byte("\n")) {
		out.WriteByte('\n')
	}
	enc := yaml.NewEncoder(out)
	enc.SetIndent(2)
	if err := errors.Join(enc.Encode(doc), enc.Close()); err != nil {
		return nil, fmt.Errorf("write accounts: %w", err)
	}
	_, err := decodeAccounts(path, out.Bytes())
	return out.Bytes(), err
}

func child(m *yaml.Node, key string) *yaml.Node {
	for i := 0; i+1 < len(m.Content); i += 2 {
		if m.Content[i].Value == key {
			return m.Content[i+1]
		}
	}
	return nil
}

// appendTo adds an item to the list under key, which is made if it is missing.
func appendTo(m *yaml.Node, key string, item any) error {
	var n yaml.Node
	if err := n.Encode(item); err != nil {
		return err
	}
	list := child(m, key)
	if list == nil {
		list = &yaml.Node{Kind: yaml.SequenceNode, Tag: "!!seq"}
		m.Content = append(m.Content, &yaml.Node{Kind: yaml.ScalarNode, Value: key}, list)
	}
	if list.Kind != yaml.SequenceNode { // "accounts:" without a value
		*list = yaml.Node{Kind: yaml.SequenceNode, Tag: "!!seq"}
	}
	list.Content = append(list.Content, &n)
	return nil
}

// lockDirectory waits for the exclusive lock of a directory. A lock file of its own
// would belong to whoever came first, and stay.
func lockDirectory(dir string) (unlock func(), err error) {
	f, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil {
		f.Close()
		return nil, err
	}
	return func() { f.Close() }, nil
}

// replaceFile writes data durably beside path and renames it into place. The owner
// stays, and so does a group that may read: root edits what the daemon must read.
func replaceFile(path string, data []byte) (err error) {
	dir := filepath.Dir(path)
	f, err := os.CreateTemp(dir, filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			os.Remove(f.Name())
		}
	}()
	_, err = f.Write(data)
	if err = errors.Join(err, keepOwner(f, path), f.Sync(), f.Close()); err != nil {
		return err
	}
	if err = os.Rename(f.Name(), path); err != nil {
		return err
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// keepOwner gives f the owner and mode of the file that it will replace, and a new
// file that root makes the owner of its directory; others never get to read password
// hashes.
func keepOwner(f *os.File, path string) error {
	i, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return ownLikeDirectory(f, filepath.Dir(path))
	}
	if err != nil {
		return err
	}
	old, ok := i.Sys().(*syscall.Stat_t)
	if !ok {
		return errors.New("owner of the accounts file is unknown")
	}
	if err := f.Chown(int(old.Uid), int(old.Gid)); err != nil {
		return fmt.Errorf("keep the owner: %w: edit as the owner or as root", err)
	}
	return f.Chmod(0o600 | i.Mode().Perm()&0o040)
}

func ownLikeDirectory(f *os.File, dir string) error {
	if os.Geteuid() != 0 {
		return nil
	}
	i, err := os.Stat(dir)
	if err != nil {
		return err
	}
	if s, ok := i.Sys().(*syscall.Stat_t); ok && s.Uid != 0 {
		return f.Chown(int(s.Uid), int(s.Gid))
	}
	return nil
}
