# SPDX-License-Identifier: Apache-2.0
"""Changes a Samba domain by its database, one command a line of standard input:

    user NAME PASSWORD            an ordinary user
    account NAME PASSWORD SPN...  a service's account: AES keys, its password never expires
    password NAME PASSWORD
    set NAME ATTRIBUTE VALUE...   without a value: removes the attribute
    get NAME ATTRIBUTE            prints the first value, or nothing
    keytab FILE PRINCIPAL...      appends the present keys
    lockout THRESHOLD             wrong passwords within 30 minutes that lock an account for as long
    unlock NAME

domain.py SMB_CONF
"""
import os
import sys

import samba.dckeytab  # noqa: F401, gives Net its export_keytab
from ldb import FLAG_MOD_DELETE, FLAG_MOD_REPLACE, SCOPE_BASE, Dn, Message, MessageElement
from samba.auth import system_session
from samba.credentials import Credentials
from samba.net import Net
from samba.param import LoadParm
from samba.samdb import SamDB

lp = LoadParm()
lp.load(sys.argv[1])
db = SamDB(url=os.path.join(lp.get("private dir"), "sam.ldb"), session_info=system_session(), lp=lp)
HALF_AN_HOUR = str(-30 * 60 * 10**7)


def expression(name):
    return "(sAMAccountName=%s)" % name


def entry(name, attributes=()):
    found = db.search(base=db.domain_dn(), expression=expression(name), attrs=list(attributes))
    return found[0]


def replace(dn, attribute, values):
    message = Message(dn)
    flag = FLAG_MOD_REPLACE if values else FLAG_MOD_DELETE
    message[attribute] = MessageElement(values, flag, attribute)
    db.modify(message)


def user(name, password):
    db.newuser(name, password)


def account(name, password, *spns):
    db.newuser(name, password)
    db.setexpiry(expression(name), 0, no_expiry_req=True)
    dn = entry(name).dn
    replace(dn, "servicePrincipalName", list(spns))
    replace(dn, "msDS-SupportedEncryptionTypes", ["24"])


def password(name, new):
    db.setpassword(expression(name), new)


def set(name, attribute, *values):
    replace(entry(name).dn, attribute, list(values))


def get(name, attribute):
    found = entry(name, [attribute])
    print(found[attribute][0] if attribute in found else "")


def keytab(file, *principals):
    net = Net(Credentials(), lp)
    for principal in principals:
        net.export_keytab(keytab=file, principal=principal)


def lockout(threshold):
    dn = Dn(db, db.domain_dn())
    replace(dn, "lockoutThreshold", [threshold])
    replace(dn, "lockoutDuration", [HALF_AN_HOUR])
    replace(dn, "lockOutObservationWindow", [HALF_AN_HOUR])


def unlock(name):
    db.unlock_account(expression(name))


for line in sys.stdin:
    words = line.split()
    globals()[words[0]](*words[1:])
