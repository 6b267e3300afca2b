"""What a template is made of."""

from typing import Any


def ref(name: str) -> Any:
    """What a resource or a parameter is called."""
    return {"Ref": name}


def get(name: str, attribute: str = "Arn") -> Any:
    """An attribute of a resource."""
    return {"Fn::GetAtt": [name, attribute]}


def sub(text: str) -> Any:
    """Text with ${…} in it."""
    return {"Fn::Sub": text}


def join(*parts: Any) -> Any:
    """One text of several parts."""
    return {"Fn::Join": ["", list(parts)]}


def arn(service: str, rest: str) -> Any:
    """The ARN of something in this account and region."""
    return sub(f"arn:${{AWS::Partition}}:{service}:${{AWS::Region}}:${{AWS::AccountId}}:{rest}")


def resource(kind: str, properties: dict[str, Any], **more: Any) -> dict[str, Any]:
    """A resource."""
    return {"Type": kind, **more, "Properties": properties}


def kept(made: dict[str, Any]) -> dict[str, Any]:
    """The resource, so that it stays when its stack is deleted or has another in its place."""
    return {"Type": made["Type"], "DeletionPolicy": "Retain", "UpdateReplacePolicy": "Retain", **made}
