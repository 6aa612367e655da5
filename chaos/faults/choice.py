"""Which part a fault hits when nobody says."""

from chaos.faults.interface import Scene
from chaos.targets.interface import Kind, Skipped


def one_of(scene: Scene, kind: Kind, target: str) -> str:
    """The part that was asked for, or any that is up; of nodes one of those where most clients are.

    Raises:
        Skipped: there is none.
    """
    names = [part.name for part in scene.target.parts(kind) if part.up and not part.grpc]
    if target:
        if target not in [part.name for part in scene.target.parts(kind)]:
            raise Skipped(f"there is no {kind} {target}")
        return target
    if not names:
        raise Skipped(f"there is no {kind} that is up")
    return scene.chance.choice(names)
